"""Running `imgpipe` from a test: a clean environment, a command line, how it ended."""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Finished:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def clean_environment(home: Path) -> dict[str, str]:
    """This environment without what could configure imgpipe, AWS or colours, and with all state below `home`."""
    removed = ("IMGPIPE_", "AWS_", "NO_COLOR", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    return kept | {"IMGPIPE_HOME": str(home / "home"), "HOME": str(home)}


def in_process(*arguments: str, env: dict[str, str], cwd: Path, stdin: bytes = b"") -> Finished:
    """One command line run here, without the second that a new interpreter and boto3 need."""
    from imgpipe.app import run

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    given = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr("sys.stdin", given)
        os.environ.clear()
        os.environ.update(env)
        try:
            status = run(list(arguments))
        finally:
            os.environ.clear()
            os.environ.update(before)
    said, complained = (stream.buffer.getvalue().decode(errors="replace") for stream in (out, err))  # type: ignore[attr-defined]
    return Finished(status, said, complained)
