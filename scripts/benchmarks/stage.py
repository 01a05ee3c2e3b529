"""A stage of the local engine for the benchmark: in a folder and on a port of its own, and what its processes take."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.harness import BenchError

NAME = "bench"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Processes:
    """The engine and its workers at one moment: CPU in milliseconds since they began, resident memory in MB."""

    engine_ms: float
    workers_ms: float
    engine_mb: float
    workers_mb: float
    workers: int


class Stage:
    """One stage; `imgpipe` runs commands on it as a user does."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def imgpipe(self, *arguments: str) -> tuple[float, str]:
        """Run a command: its seconds, and what it wrote to stdout. Raises BenchError where it fails."""
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("IMGPIPE_", "AWS_"))}
        env = {**keep, "IMGPIPE_HOME": str(self.home), "IMGPIPE_PORT": str(self.port)}
        command = [sys.executable, "-m", "imgpipe", "--stage", NAME, *arguments]
        started = time.perf_counter()
        done = subprocess.run(command, env=env, cwd=self.home, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        if done.returncode:
            raise BenchError(f"imgpipe {' '.join(arguments)} ended with status {done.returncode}: {done.stderr[-500:]}")
        return seconds, done.stdout

    @cached_property
    def clients(self) -> Any:
        from imgpipe.aws import Clients
        from imgpipe.targets.local import LocalTarget

        return Clients(LocalTarget(NAME, self.home, self.port, "us-east-1").connect())

    @cached_property
    def outputs(self) -> Any:
        from imgpipe.stack.deploy import describe

        view = describe(self.clients, NAME)
        if view is None or view.outputs is None:
            raise BenchError(f"The stack of the stage {NAME} is not there.")
        return view.outputs

    def processes(self) -> Processes | None:
        """What the engine and its workers have taken so far; None on a system without /proc."""
        proc = Path("/proc")
        if not (proc / "self" / "stat").exists():
            return None
        engine = int(json.loads((self.home / NAME / "engine.json").read_text())["pid"])
        workers = children(engine)
        return Processes(
            engine_ms=_cpu_ms(engine),
            workers_ms=sum(map(_cpu_ms, workers)),
            engine_mb=_resident_mb(engine),
            workers_mb=sum(map(_resident_mb, workers)),
            workers=len(workers),
        )


def children(parent: int) -> list[int]:
    """The processes that `parent` started, whichever of its threads did; what ends while this looks is no longer one.

    proc_pid_task_children(5) is no answer: its files go with the thread, and are complete only of a stopped process.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if int(_stat(int(entry.name))[1]) == parent:
                found.append(int(entry.name))
    return found


def _stat(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) from the third on: the name before them may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _cpu_ms(pid: int) -> float:
    fields = _stat(pid)
    return 1000 * (int(fields[11]) + int(fields[12])) / _TICKS


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def standing(folder: Path) -> Iterator[Stage]:
    """A stage that is not up yet, with nothing left of it afterwards, whatever happens."""
    from imgpipe.targets.local import LocalTarget

    home = folder / "pipeline"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    stage = Stage(home)
    try:
        yield stage
    finally:
        LocalTarget(NAME, home, stage.port, "us-east-1").destroy()
        shutil.rmtree(home, ignore_errors=True)
