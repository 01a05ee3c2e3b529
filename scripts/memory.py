"""How much memory an engine and its workers take, second by second, and whether it grows."""

from __future__ import annotations

import statistics
import subprocess
import threading
import time

from imgpipe.engine.folder import StageFolder

LONG_LIFE = 120.0
"""Seconds that a process has to live before its growth can be told."""


class Memory(threading.Thread):
    """Looks at the engine and its workers once a second."""

    def __init__(self, folder: StageFolder, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._folder, self._stop_it, self._began = folder, stop, time.monotonic()
        self.workers: dict[int, list[tuple[float, int]]] = {}
        self.engines: dict[int, list[tuple[float, int]]] = {}

    def run(self) -> None:
        while not self._stop_it.wait(1):
            now = time.monotonic() - self._began
            engine, workers = look(self._folder)
            for seen, found in ((self.engines, engine), (self.workers, workers)):
                for pid, rss in found.items():
                    seen.setdefault(pid, []).append((now, rss))


def look(folder: StageFolder) -> tuple[dict[int, int], dict[int, int]]:
    """Resident bytes by process id: of the engine (none while it is down), and of its workers."""
    running = folder.running()
    if running is None:
        return {}, {}
    listed = subprocess.run(["/bin/ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True)
    rows = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    engine = {pid: kib * 1024 for pid, _, kib in rows if pid == running.pid}
    return engine, {pid: kib * 1024 for pid, parent, kib in rows if parent == running.pid}


def growth(samples: list[tuple[float, int]]) -> float | None:
    """By which share the median of the last half minute exceeds that of second 60 to 90; None for a short life."""
    born, died = samples[0][0], samples[-1][0]
    if died - born < LONG_LIFE:
        return None
    early = [rss for at, rss in samples if 60 <= at - born < 90]
    late = [rss for at, rss in samples if at > died - 30]
    return statistics.median(late) / statistics.median(early) - 1


def series(seen: dict[int, list[tuple[float, int]]]) -> list[int]:
    """The largest process of each 15 seconds, in megabytes."""
    slots: dict[int, int] = {}
    for samples in seen.values():
        for at, rss in samples:
            slots[int(at // 15)] = max(slots.get(int(at // 15), 0), rss)
    return [round(slots[slot] / 1e6) for slot in sorted(slots)]
