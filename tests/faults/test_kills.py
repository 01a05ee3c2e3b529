"""kill -9 of the worker before and after every AWS call: the next delivery completes what the dead one began."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faults.scenarios import CALLS, replaced
from faults.world import MAX_RECEIVES, World, picture, stack

from image_pipeline.record import Refusal
from imgpipe.aws import Clients


@dataclass
class Doom:
    """Where the worker dies: the number of the call, 0 for never, and the side of it; `times` deliveries in a row."""

    at: int = 0
    side: str = "before"
    times: int = 0


@pytest.fixture(scope="module")
def _mortal(clients: Clients) -> Iterator[tuple[World, Doom]]:
    with stack(clients) as world:
        doom = Doom()
        environment = {**os.environ, **world.environment, "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, "-m", "faults.victim"]
        with subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as victims:
            assert victims.stdin is not None
            assert victims.stdout is not None

            def deliver(event: dict[str, Any]) -> Any:
                at = doom.at if doom.times > 0 else None
                doom.times -= 1
                print(json.dumps({"event": event, "at": at, "side": doom.side}), file=victims.stdin, flush=True)
                answer = json.loads(victims.stdout.readline())
                assert answer != "broken"
                return answer

            world.deliver = deliver
            world.drain()
            try:
                yield world, doom
            finally:
                victims.stdin.close()


@pytest.fixture
def world(_mortal: tuple[World, Doom]) -> World:
    """A stack whose workers can be killed."""
    return _mortal[0]


@pytest.fixture
def doom(_mortal: tuple[World, Doom]) -> Doom:
    """How the workers of this test die: not at all, unless it says so."""
    _mortal[1].times = 0
    return _mortal[1]


def deaths() -> Iterator[tuple[Any, int, str]]:
    """Before every call, and after the last. What a kill leaves after one call, it leaves before the next: of uploads
    side by side that is not so, and one scenario stands for all.
    """
    for scenario, calls in CALLS.items():
        for number in range(1, len(calls) + 1):
            yield scenario, number, "before"
            if scenario is replaced or number == len(calls):
                yield scenario, number, "after"


@pytest.mark.parametrize(("scenario", "at", "side"), list(deaths()))
def test_the_next_delivery_completes_what_a_killed_worker_began(
    world: World, doom: Doom, scenario: Any, at: int, side: str
) -> None:
    key = world.fresh_key()
    act = scenario(world, key)
    doom.at, doom.side, doom.times = at, side, 1
    act()
    assert world.step(wait=10)
    left = world.orphans(key)
    assert world.drain() == 1
    # Only what the dead one had written or was about to remove, and all of it from one attempt.
    assert len({one.split("/")[-2] for one in left}) <= 1
    world.assert_whole(key, orphans=left)
    assert world.dead_letters() == []


@pytest.mark.parametrize(("at", "says_why"), [(2, False), (5, True)])
def test_an_image_that_kills_every_worker_is_dead_lettered_and_says_why_where_the_table_could_be_reached(
    world: World, doom: Doom, at: int, says_why: bool
) -> None:
    key = world.fresh_key()
    doom.at, doom.side, doom.times = at, "before", MAX_RECEIVES
    # The first call of every later receive asks for an early return; the last one commits before it uploads.
    world.put(key, picture(1))
    assert world.drain() == MAX_RECEIVES
    row = world.row(key)
    code = row and row.failure and row.failure.code
    assert code == (Refusal.CRASHED if says_why else None)
    left = world.orphans(key)
    assert world.dead_letters(keep=True) == [key]
    world.redrive()
    world.drain()
    world.assert_whole(key, orphans=left)
