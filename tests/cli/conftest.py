"""The command line as its users meet it: as a process of its own, or, where only the answer counts, in this one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "Finished"]


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


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The directory that commands run in."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def imgpipe(tmp_path: Path, work: Path) -> Run:
    """Runs `imgpipe ARGUMENTS` in this process, with nothing up; `env` adds to a clean environment."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> Finished:
        return in_process(*arguments, env=clean_environment(tmp_path) | (env or {}), cwd=work)

    return run


@pytest.fixture
def process(tmp_path: Path, work: Path) -> Run:
    """Runs `imgpipe ARGUMENTS` as a process of its own."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> Finished:
        done = subprocess.run(
            [sys.executable, "-m", "imgpipe", *arguments],
            capture_output=True,
            env=clean_environment(tmp_path) | (env or {}),
            cwd=work,
            timeout=60,
            check=False,
        )
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
