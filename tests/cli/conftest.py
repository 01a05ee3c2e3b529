"""The command line as its users meet it: as a process of its own, or, where only the answer counts, in this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import Finished, clean_environment, in_process

Run = Callable[..., Finished]


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
