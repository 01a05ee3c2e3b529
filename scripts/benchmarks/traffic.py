"""Photos through a stage of the local engine, one by one and many at once, and the same work without an engine.

Run as a program, with a picture and a number, it is one process of the latter: it hashes and renders the picture that
often and prints the CPU milliseconds of one.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks.harness import BenchError
from benchmarks.stage import Processes, Stage
from imgpipe import images
from imgpipe.sources import Item

WORKERS = 2
"""Of the local engine, and so the processes that the handler's own work is done in for comparison."""

SENDERS = 8  # threads of `imgpipe upload`
PATIENCE = 120.0


@dataclass(frozen=True)
class Latency:
    """Milliseconds: what the handler says it took, and from the answer to the upload until the row was seen."""

    handler: list[float]
    visible: list[float]


@dataclass(frozen=True)
class Burst:
    """`photos` in `seconds`; `sender_ms` is the CPU of sending and waiting for one; the rest before and afterwards."""

    photos: int
    seconds: float
    sender_ms: float
    before: Processes | None
    after: Processes | None

    @property
    def rate(self) -> float:
        return self.photos / self.seconds


def _item(key: str, photo: bytes) -> Item:
    return Item(key, "a photo", "image/jpeg", photo)


def _sending(stage: Stage, *, senders: int, wait: bool = True) -> images.Upload:
    where = stage.outputs
    return images.Upload(
        stage.clients,
        where.input_bucket,
        where.table,
        user="bench",
        concurrency=senders,
        wait=wait,
        timeout=PATIENCE,
    )


def _ready(results: list[images.Result]) -> list[images.Result]:
    """All of them, if they came through. Raises BenchError."""
    if bad := [one for one in results if one.state not in ("ready", "sent")]:
        raise BenchError(f"{len(bad)} of {len(results)} photos were {bad[0].state}: {bad[0].error}")
    return results


# ---------------------------------------------------------------- one at a time


def one_at_a_time(stage: Stage, photo: bytes, count: int) -> Latency:
    """Upload as `imgpipe upload` does, wait as it does, and send the next one then. The first ones are dropped."""
    handler, visible = [], []
    for number in range(count + 3):
        with _answered() as answered:
            [result] = _ready(list(_sending(stage, senders=1).results([_item(f"one/{number}.jpg", photo)])))
            seen = time.perf_counter()
        if number >= 3 and result.record is not None:
            handler.append(float(result.record.timings_ms["total"]))
            visible.append(1000 * (seen - answered[0]))
    return Latency(handler, visible)


@contextmanager
def _answered() -> Iterator[list[float]]:
    """The moments at which uploads were answered."""
    moments: list[float] = []
    put = images._put

    def noting(*arguments: Any) -> images.Sent:
        sent = put(*arguments)
        moments.append(time.perf_counter())
        return sent

    setattr(images, put.__name__, noting)
    try:
        yield moments
    finally:
        setattr(images, put.__name__, put)


# ---------------------------------------------------------------- many at once


def burst(stage: Stage, photo: bytes, count: int, name: str, *, queue_first: bool) -> Burst:
    """All photos at once, from the first event on until the last one is seen READY.

    With `queue_first` they are all in S3 and their events in the queue before the function may take any; otherwise
    they are sent meanwhile, by this process and on the same cores.
    """
    items = [_item(f"{name}/{number}.jpg", photo) for number in range(count)]
    if queue_first:
        with _held(stage):
            versions = _ready(list(_sending(stage, senders=SENDERS, wait=False).results(items)))
            waiter = images.Waiter(stage.clients, stage.outputs.input_bucket, stage.outputs.table)
            now = datetime.now(UTC)
            for one in versions:
                waiter.add(one.item, images.Sent(one.version_id, now))
            before, sender, started = stage.processes(), time.process_time(), time.perf_counter()
        found = _seen(waiter, started + PATIENCE + count)
    else:
        before, sender, started = stage.processes(), time.process_time(), time.perf_counter()
        found = list(_sending(stage, senders=SENDERS).results(items))
    seconds = time.perf_counter() - started
    _ready(found)
    return Burst(count, seconds, 1000 * (time.process_time() - sender) / count, before, stage.processes())


def _seen(waiter: images.Waiter, deadline: float) -> list[images.Result]:
    """What became of all that `waiter` waits for; looked at as seldom as `imgpipe upload` looks."""
    found: list[images.Result] = []
    while waiter.pending and time.perf_counter() < deadline:
        time.sleep(0.02 + 0.002 * len(waiter.pending))
        found += waiter.poll()
    return [*found, *waiter.give_up(PATIENCE)]


@contextmanager
def _held(stage: Stage) -> Iterator[None]:
    """The function takes nothing from the queue while inside."""
    functions = stage.clients["lambda"]
    [mapping] = functions.list_event_source_mappings(FunctionName=stage.outputs.function)["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@dataclass(frozen=True)
class Alone:
    """Photos a second, and CPU milliseconds of each."""

    rate: float
    cpu_ms: float


def in_process(folder: Path, photo: bytes, count: int) -> Alone:
    """As many processes as there are workers, which do nothing but hash and render."""
    path = folder / "pipeline" / "photo.jpg"
    path.write_bytes(photo)
    each = max(2, count // WORKERS)
    command = [sys.executable, "-m", "benchmarks.traffic", str(path), str(each)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)
    ]
    try:
        for one in running:  # all are warm before any begins
            one.stdout.readline()  # type: ignore[union-attr]
        started = time.perf_counter()
        with ThreadPoolExecutor(WORKERS) as pool:
            said = list(pool.map(lambda one: one.communicate("go\n")[0], running))
        seconds = time.perf_counter() - started
        return Alone(each * WORKERS / seconds, sum(map(float, said)) / WORKERS)
    finally:
        for one in running:
            one.kill()
            one.wait()


def _make(picture: Path, count: int) -> None:
    from image_pipeline.renditions import render_stream
    from image_pipeline.settings import Recipe
    from image_pipeline.stream import Arriving

    data, recipe = picture.read_bytes(), Recipe()

    def once() -> None:
        render_stream(Arriving(BytesIO(data).read, len(data)), recipe)

    once()
    sys.stdout.write("warm\n")
    sys.stdout.flush()
    sys.stdin.readline()
    before = time.process_time()
    for _ in range(count):
        once()
    sys.stdout.write(f"{1000 * (time.process_time() - before) / count}\n")


if __name__ == "__main__":
    _make(Path(sys.argv[1]), int(sys.argv[2]))
