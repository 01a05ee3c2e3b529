"""What the engine remembers between two lives: read completely, or refused and left as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ministack import app
from ministack.core import persistence

from imgpipe.engine.checkpoint import FORMAT
from imgpipe.engine.folder import refused
from imgpipe.errors import ImgpipeError


def load(path: Path) -> None:
    """Give every service what it had; raises ImgpipeError naming the file that cannot be used.

    ministack itself would log the error, go on with nothing, and overwrite the file at its next save.
    """
    if not path.exists():
        return
    try:
        held: Any = json.loads(path.read_bytes(), object_hook=persistence._json_object_hook)
        version, services = held["format"], held["services"].items()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise refused(path, "it is damaged") from error
    if version != FORMAT:
        raise refused(path, "another version has written it")
    for service, one in services:
        try:
            if one["format"] > persistence._state_format_version(service):
                raise refused(path, f"a newer version has written the part of {service}")
            app._get_module(app._state_map[service]).load_persisted_state(one["state"])
        except (ImgpipeError, MemoryError):
            raise
        except Exception as error:
            raise refused(path, f"the part of {service} is not what it should be") from error
    _check_code()


def _check_code() -> None:
    """A function whose code is gone would answer every event with success and process none."""
    from ministack.services import lambda_svc

    for scope, function in lambda_svc._functions._data.items():
        config = function.get("config") or {}
        if config.get("CodeSize") and not function.get("code_zip"):
            raise refused(Path(lambda_svc.CODE_BLOB_DIR), f"the code of {scope[-1]} is missing")
