"""What every part of the benchmark shares: the shapes of its results, and fair turns for the contenders."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


class BenchError(Exception):
    """A measurement that cannot be made; the message says why, in one sentence."""


@dataclass(frozen=True)
class Options:
    """What a part is run with. `folder` is the throw-away directory; `progress` shows one short line."""

    quick: bool
    folder: Path
    progress: Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """One run of one contender: user + system time of all its threads, elapsed time, and peak resident memory.

    `turn` says when, where not everybody takes every turn.
    """

    cpu_ms: float
    wall_ms: float
    memory_mb: float | None = None
    turn: int = 0


@dataclass(frozen=True)
class Measured:
    """One contender at one task, medians; `extra` holds whatever else was measured, by name."""

    contender: str
    task: str
    cpu_ms: float | None = None
    wall_ms: float | None = None
    memory_mb: float | None = None
    extra: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ratio:
    """What a target is judged by. `target` is a key of targets.TARGETS; `detail` is one short sentence."""

    target: str
    value: float
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of text, numbers already in words; the first column names the row. `note` is a sentence below it."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """Grouped bars: (label of the group, value by contender). `name` is the file's stem."""

    name: str
    title: str
    unit: str
    bars: list[tuple[str, dict[str, float]]]


@dataclass(frozen=True)
class Part:
    """Everything that one part found out. `missing` names what could not be measured, each with the reason."""

    name: str
    tables: list[Table] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)


def alternate(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[Sample]]:
    """Run functions of this process in turns, A B A B, `rounds` each, after one turn that warms up and is dropped."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, run in contenders.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            sample = Sample(1000 * (time.process_time() - cpu), 1000 * (time.perf_counter() - wall))
            if turn:
                samples[name].append(sample)
    return samples


def alternate_commands(
    commands: Mapping[str, list[str]], rounds: int, *, env: Mapping[str, str] | None = None, cpu: int | None = None
) -> dict[str, list[Sample]]:
    """Run processes in turns, A B A B, `rounds` each, after one turn that warms up and is dropped.

    `env` replaces the environment, `cpu` pins to one core. CPU counts the children that the process waited for. The
    memory is no less than this process's own, for Linux hands that on. Raises BenchError where one exits non-zero.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            sample = _timed(name, command, env, cpu)
            if turn:
                samples[name].append(sample)
    return samples


def _timed(name: str, command: list[str], env: Mapping[str, str] | None, cpu: int | None) -> Sample:
    started = time.perf_counter()
    with pinned(cpu):
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchError(f"{name} ended with status {process.returncode}: {' '.join(command)}")
    return Sample(1000 * (usage.ru_utime + usage.ru_stime), 1000 * wall, usage.ru_maxrss * 1024 / 1e6)


@contextlib.contextmanager
def pinned(cpu: int | None) -> Iterator[None]:
    """This thread, and whatever it starts, on one core while inside; on a system that cannot do so, nothing."""
    if cpu is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def quiet_core() -> int | None:
    """The core to pin to: the last one that this process may use; None where the system cannot tell."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def median_ratio(ours: list[float], theirs: list[float]) -> float:
    """The median of the quotients turn by turn, which a machine that slows down for a while does not bend."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def median_cpu(samples: list[Sample]) -> float:
    """Milliseconds."""
    return statistics.median(sample.cpu_ms for sample in samples)


def median_wall(samples: list[Sample]) -> float:
    """Milliseconds."""
    return statistics.median(sample.wall_ms for sample in samples)
