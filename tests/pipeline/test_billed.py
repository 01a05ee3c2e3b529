"""The calls that one image makes are those that `imgpipe cost` bills."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pictures
import pytest

from image_pipeline.events import ImageEvent
from imgpipe.aws import Clients
from imgpipe.cost import GETS

if TYPE_CHECKING:
    from conftest import Bench


@pytest.fixture
def calls(bench: Bench) -> tuple[Any, Counter[str]]:
    """A worker with clients of its own, and the calls that they make, by operation."""
    clients, counted = Clients(bench.clients.connection), Counter[str]()

    def count(model: Any, **_: Any) -> None:
        counted[model.name] += 1

    for service in ("s3", "dynamodb"):
        clients[service].meta.events.register(f"before-call.{service}", count)
    return bench.worker(clients["s3"], clients["dynamodb"]), counted


def test_a_new_image_is_read_twice_and_written_once_for_each_output(
    bench: Bench, calls: tuple[Any, Counter[str]]
) -> None:
    worker, counted = calls
    key = bench.fresh_key()
    bench.put(key, pictures.saved(pictures.scene(1600, 1200), "PNG"))
    outcome = worker.settle(ImageEvent(bucket=bench.settings.input_bucket, key=key))
    assert outcome.what == "ready"
    assert counted["GetObject"] + counted["HeadObject"] == GETS
    assert counted == {"GetItem": 1, "GetObject": 1, "PutObject": 4, "PutItem": 1, "HeadObject": 1}


def test_a_refused_image_is_read_as_often_and_has_a_small_row(bench: Bench, calls: tuple[Any, Counter[str]]) -> None:
    worker, counted = calls
    key = bench.fresh_key()
    bench.put(key, b"no image")
    outcome = worker.settle(ImageEvent(bucket=bench.settings.input_bucket, key=key))
    assert counted == {"GetItem": 1, "GetObject": 1, "PutItem": 1, "HeadObject": 1}
    from imgpipe.rowsize import Row

    assert Row.of(outcome.record).units == 1


def test_an_image_that_has_not_changed_is_read_once(bench: Bench, calls: tuple[Any, Counter[str]]) -> None:
    worker, counted = calls
    key = bench.fresh_key()
    bench.put(key, pictures.saved(pictures.scene(60, 40), "PNG"))
    event = ImageEvent(bucket=bench.settings.input_bucket, key=key)
    worker.settle(event)
    counted.clear()
    assert worker.settle(event).what == "unchanged"
    assert counted == {"GetItem": 1, "GetObject": 1}


def test_a_deletion_is_looked_at_twice(bench: Bench, calls: tuple[Any, Counter[str]]) -> None:
    worker, counted = calls
    key = bench.fresh_key()
    bench.put(key, pictures.saved(pictures.scene(60, 40), "PNG"))
    event = ImageEvent(bucket=bench.settings.input_bucket, key=key)
    worker.settle(event)
    bench.delete(key)
    counted.clear()
    assert worker.settle(event).what == "deleted"
    assert counted["GetObject"] + counted["HeadObject"] == GETS
    assert counted == {"GetItem": 1, "GetObject": 1, "DeleteItem": 1, "DeleteObject": 3, "HeadObject": 1}
