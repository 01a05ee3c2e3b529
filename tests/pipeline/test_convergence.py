"""The law of the pipeline: whatever order, duplication and interleaving of events, the row ends as what S3 holds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import cache
from io import BytesIO
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from image_pipeline.events import ImageEvent
from image_pipeline.faults import TransientError
from image_pipeline.process import Worker
from image_pipeline.record import Output
from image_pipeline.storage import Storage

if TYPE_CHECKING:
    from conftest import Bench


@cache
def picture(shade: int) -> bytes:
    """A tiny PNG; another shade is another picture. Shade 0 is no picture at all, so that refusals take part."""
    if shade == 0:
        return b"no picture"
    out = BytesIO()
    Image.new("RGB", (9, 6), (shade * 20 % 256, 30, 60)).save(out, "PNG")
    return out.getvalue()


class Killed(BaseException):
    """What a worker's next call raises once the test has killed it."""


class Gate:
    """A client that asks for permission before every call, so that the test decides who runs when."""

    def __init__(self, client: Any, wait: Callable[[], None]) -> None:
        self._client, self._wait = client, wait

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def gated(**arguments: Any) -> Any:
            self._wait()
            return call(**arguments)

        return gated


class InOrder(Storage):
    """Storage that writes outputs one after another, so that every single one is a point where others may run."""

    def put(self, outputs: Iterable[tuple[Output, bytes]]) -> None:
        for output, data in outputs:
            self._put(output, data)


class Delivery:
    """One delivery of one event to a worker in a thread, advanced call by call."""

    def __init__(self, bench: Bench, event: ImageEvent, last_receive: bool) -> None:
        self.event, self.done, self.killed, self.again = event, False, False, False
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        gate = [Gate(bench.clients[service], self._wait) for service in ("s3", "dynamodb")]
        self._worker: Worker = bench.worker(*gate)
        self._worker.storage = InOrder(gate[0], bench.settings)
        self._last = last_receive
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._paused.acquire()

    def _wait(self) -> None:
        self._paused.release()
        self._go.acquire()
        if self.killed:
            raise Killed

    def _run(self) -> None:
        try:
            self._worker.settle(self.event, last_receive=self._last)
        except TransientError:
            self.again = True
        except Killed:
            pass
        finally:
            self.done = True
            self._paused.release()

    def step(self) -> None:
        """Let it make one call, or come to its end."""
        self._go.release()
        self._paused.acquire()

    def kill(self) -> None:
        """Let it die where it stands: no clean-up of its own succeeds after this."""
        self.killed = True
        while not self.done:
            self.step()


def operate(bench: Bench, key: str, chance: Random) -> None:
    """One thing that a user of the bucket does."""
    versions = bench.versions(key)
    action = chance.choice(["put", "delete", *(["take back", "delete version"] if versions else [])])
    if action == "put":
        bench.put(key, picture(chance.randint(0, 3)))
    elif action == "delete":
        bench.delete(key)
    else:
        bench.delete(key, versions[0] if action == "take back" else chance.choice(versions))


def play(bench: Bench, chance: Random, *, with_kills: bool) -> tuple[str, bool]:
    """Play one history to its end; returns the key and whether a worker was killed in it."""
    key = bench.fresh_key()
    event = ImageEvent(bucket=bench.settings.input_bucket, key=key)
    bench.put(key, picture(9))
    bench.worker().settle(event)
    operations, pending, killed = chance.randint(1, 3), 0, False
    active: list[Delivery] = []
    while operations or pending or active:
        choices = ["operate"] * bool(operations) + ["deliver"] * bool(pending and len(active) < 3)
        choices += ["resume"] * bool(active) + ["kill"] * (with_kills and bool(active))
        choice = chance.choice(choices)
        if choice == "operate":
            operate(bench, key, chance)
            operations -= 1
            pending += chance.choice([1, 1, 1, 2])
            continue
        if choice == "deliver":
            pending -= 1
            active.append(Delivery(bench, event, last_receive=chance.choice([False, False, True])))
        one = active[-1] if choice == "deliver" else chance.choice(active)
        if choice == "kill":
            one.kill()
            killed = True
        # An image takes about ten calls: a worker stops in the midst of them, or comes to its end.
        for _ in range(chance.randint(1, 12)):
            if not one.done:
                one.step()
        if one.done:
            active.remove(one)
            pending += one.again or one.killed
    return key, killed


# Histories are drawn evenly from a seed, for Hypothesis' own choices favour the shortest ones, in which nothing meets.
relaxed = settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@relaxed
@given(seed=st.integers(0, 2**32))
def test_any_order_duplication_and_interleaving_ends_in_what_s3_serves(bench: Bench, seed: int) -> None:
    key, _ = play(bench, Random(seed), with_kills=False)
    assert bench.is_conserved(key)


@relaxed
@given(seed=st.integers(0, 2**32))
def test_a_killed_worker_leaves_at_most_outputs_that_no_row_lists(bench: Bench, seed: int) -> None:
    key, killed = play(bench, Random(seed), with_kills=True)
    row = bench.row(key)
    assert (row.source.version_id if row else None) == bench.served(key)
    listed = {(one.bucket, one.key) for one in row.outputs} if row else set()
    assert listed <= bench.outputs(key)
    assert killed or listed == bench.outputs(key)
