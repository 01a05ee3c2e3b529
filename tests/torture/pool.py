"""Long-lived workers that files are sent through; one that dies is replaced, and its death is the file's verdict."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

WORKERS = 2
WALL_SECONDS = 120
"""For a file that sleeps rather than works; a worker limits its CPU time itself."""


def verdicts(files: Mapping[str, Path]) -> dict[str, str]:
    """What became of each file, by its name; see worker.verdict."""
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    workers = [_Worker() for _ in range(WORKERS)]
    for worker in workers:
        idle.put(worker)

    def judge(path: Path) -> str:
        worker = idle.get()
        try:
            return worker.judge(path)
        finally:
            idle.put(worker)

    try:
        with ThreadPoolExecutor(WORKERS) as threads:
            return dict(zip(files, threads.map(judge, files.values()), strict=True))
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    def __init__(self) -> None:
        self._process = self._started()

    def judge(self, path: Path) -> str:
        assert self._process.stdin
        assert self._process.stdout
        timer = threading.Timer(WALL_SECONDS, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(f"{path}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if answer:
            return str(json.loads(answer)["verdict"])
        code = self._process.wait()
        self.end()
        self._process = self._started()
        return f"killed its worker with {signal.Signals(-code).name}" if code < 0 else f"ended its worker with {code}"

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "torture.worker"],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
