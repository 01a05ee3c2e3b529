"""Every fault at every AWS call of one image: nothing is lost, nothing is left behind, and what failed says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from faults.injector import ALWAYS, KINDS, REFUSALS, Fault, Injector
from faults.scenarios import CALLS, deleted, first, refused, repeated, replaced, restored
from faults.world import MAX_RECEIVES, World, picture


@pytest.mark.parametrize("scenario", CALLS)
def test_these_are_all_the_calls(world: World, injector: Injector, scenario: Any) -> None:
    key = world.fresh_key()
    act = scenario(world, key)
    injector.clear()
    act()
    assert world.drain() == 1
    assert injector.sent == [one.split("/")[0] for one in CALLS[scenario]]
    world.assert_whole(key)


BODILESS = ("PutObject", "DeleteObject", "HeadObject")
"""Operations whose answer has no body that could be truncated."""


ALIKE = dict.fromkeys((repeated, refused, restored), ("500", "lost", "very late"))
"""Scenarios with the calls of another one, from another state: all that matters is whether a call was carried out."""


def cases() -> Iterator[tuple[Any, str, str, float]]:
    """Every fault at every call, once; where the SDK would try again, as often as outlasts it.

    The three outputs are alike: the first scenario stands for all of them as to uploads, the second as to deletions.
    """
    for scenario, calls in CALLS.items():
        for call in calls:
            operation, _, output = call.partition("/")
            if output in ("512", "128") and scenario is not (first if operation == "PutObject" else replaced):
                continue
            table, writes = operation.endswith("Item"), operation in ("PutItem", "DeleteItem")
            for kind in ALIKE.get(scenario, KINDS):
                if kind == "truncated" and operation in BODILESS:
                    continue
                if table or (scenario is first and output in ("", "1024")):
                    yield scenario, call, kind, 1
                if not table or (writes and scenario in (first, deleted)):
                    yield scenario, call, kind, 3


def act_under_fault(world: World, injector: Injector, scenario: Any, fault: Fault) -> str:
    """Play a scenario with a fault in it until the queue is empty; returns the key."""
    key, times = world.fresh_key(), fault.times
    act = scenario(world, key)
    injector.clear()
    injector.faults = [fault]
    act()
    world.drain()
    assert fault.times < times or times == ALWAYS, "the fault never came to pass"
    injector.clear()
    return key


@pytest.mark.parametrize(("scenario", "call", "kind", "times"), list(cases()))
def test_a_fault_that_passes_leaves_no_trace(
    world: World, injector: Injector, scenario: Any, call: str, kind: str, times: float
) -> None:
    operation, _, output = call.partition("/")
    key = act_under_fault(world, injector, scenario, Fault(operation, kind, times, output))
    assert world.dead_letters() == []
    if scenario is repeated and operation == "DeleteObject":
        world.send(key)  # doing it again is no way to delete something, but the next event is
        world.drain()
    before = world.outputs(key)
    injector.land("very late")
    # Nobody is there any more to see an upload that S3 carries out after its worker has long given it up.
    late = world.outputs(key) - before
    assert not late or (kind, operation) == ("very late", "PutObject")
    assert all(one.endswith(f"/{output}.png") for one in late)
    world.assert_whole(key, orphans=late)


LASTING = {
    first: ["GetItem", "GetObject", "PutObject/512", "PutItem", "HeadObject"],
    replaced: ["GetObject", "PutObject/512", "PutItem", "DeleteObject/512", "HeadObject"],
    deleted: ["GetItem", "GetObject", "DeleteItem", "DeleteObject/512", "HeadObject"],
}


def survives(operation: str, kind: str, scenario: Any) -> bool:
    """Whether the pipeline comes to a verdict although the fault never ends."""
    if operation == "GetObject":
        # What may not be read is FAILED(forbidden); of what is gone, 404 is the plain truth.
        return kind == "403" or (kind == "404" and scenario is deleted)
    if operation == "HeadObject":
        # It comes after the commit, and the next delivery finds that all is as it should be. Only of an object that
        # is not there it is asked again.
        return scenario is not deleted or kind in ("403", "404")
    if operation in ("PutItem", "DeleteItem"):
        return kind in ("lost", "truncated", "late")  # it was carried out, and the next look at the table shows it
    return False


LASTING_CASES = [
    (scenario, call, kind)
    for scenario, calls in LASTING.items()
    for call in calls
    for kind in KINDS
    if kind != "truncated" or not call.startswith(BODILESS)
]


@pytest.mark.parametrize(("scenario", "call", "kind"), LASTING_CASES)
def test_a_fault_that_stays_ends_in_the_dead_letter_queue_and_a_redrive_completes_it(
    world: World, injector: Injector, scenario: Any, call: str, kind: str
) -> None:
    operation, _, output = call.partition("/")
    key = act_under_fault(world, injector, scenario, Fault(operation, kind, ALWAYS, output))
    if not operation.endswith("Item"):
        world.assert_says_why(key)
    injector.land("very late")
    if survives(operation, kind, scenario):
        assert world.dead_letters() == []
    else:
        assert world.dead_letters(keep=True) == [key]
        world.redrive()
        world.drain()
    # An upload that arrives when its worker has given up: nobody is there any more to see it.
    left = world.orphans(key)
    assert not left or (operation == "PutObject" and kind in ("late", "very late"))
    assert all(one.endswith(f"/{output}.png") for one in left)
    world.assert_whole(key, orphans=left)


def test_a_message_that_is_no_event_is_dead_lettered_and_touches_nothing(world: World, injector: Injector) -> None:
    world.clients["sqs"].send_message(QueueUrl=world.jobs, MessageBody="no event")
    assert world.drain() == MAX_RECEIVES
    assert set(injector.sent) == {"ChangeMessageVisibility"}
    assert world.dead_letters() == ["no event"]


@pytest.mark.parametrize("kind", [*REFUSALS["sqs"], "reset", "lost"])
def test_a_visibility_timeout_that_cannot_be_changed_costs_nothing_but_time(
    world: World, injector: Injector, kind: str
) -> None:
    key = world.fresh_key()
    injector.faults = [Fault("GetItem", "500", 2), Fault("ChangeMessageVisibility", kind, ALWAYS)]
    world.put(key, picture(1))
    assert world.drain() == 3
    world.assert_whole(key)
    assert world.dead_letters() == []
