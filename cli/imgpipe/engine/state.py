"""What the engine remembers between two lives: read completely, or refused and left as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ministack import app
from ministack.core import persistence

from imgpipe.engine.folder import StageFolder, refused


def load(folder: StageFolder) -> None:
    """Give every service what it had; raises ImgpipeError naming the file that cannot be used.

    ministack itself would log the error, go on with nothing, and overwrite the file at its next save.
    """
    known = dict(app._state_map)
    for path in sorted(folder.state.glob("*.json")):
        if path.stem not in known:
            raise refused(path, "no service of this version has such a file")
        _restore(path, known[path.stem])
    _check_code()


def _restore(path: Path, module: str) -> None:
    service = path.stem
    try:
        held: Any = json.loads(path.read_text(), object_hook=persistence._json_object_hook)
        version = held["__ministack_format__"]
        payload = held["payload"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise refused(path, "it is damaged") from error
    if not isinstance(version, int) or version > persistence._state_format_version(service):
        raise refused(path, "a newer version has written it")
    try:
        app._get_module(module).load_persisted_state(payload)
    except Exception as error:
        raise refused(path, "it does not hold what it should") from error


def _check_code() -> None:
    """A function whose code is gone would answer every event with success and process none."""
    from ministack.services import lambda_svc

    for scope, function in lambda_svc._functions._data.items():
        config = function.get("config") or {}
        if config.get("CodeSize") and not function.get("code_zip"):
            raise refused(Path(lambda_svc.CODE_BLOB_DIR), f"the code of {scope[-1]} is missing")
