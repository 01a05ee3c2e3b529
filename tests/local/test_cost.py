"""`imgpipe cost` on a pipeline that is up: counts, sizes and times are those of the images that went through it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pictures
import pytest

from image_pipeline.record import ImageRecord
from imgpipe import logs
from imgpipe.aws import Clients
from imgpipe.cost import LOG_BYTES, METRICS, Traffic
from imgpipe.metricdata import Window
from imgpipe.rowsize import Row
from imgpipe.sample import sample_photo
from imgpipe.targets.base import Connection
from imgpipe.traffic import measured

from .conftest import until

if TYPE_CHECKING:
    from conftest import Pipeline

KEY = "2026/holiday/IMG_20260131_120000.jpg"
PLATFORM_BYTES = 440
"""Of Lambda's platform.start and platform.report in its JSON format, which the engine does not write."""


@pytest.fixture(scope="module")
def rows(pipeline: Pipeline) -> list[ImageRecord]:
    """A photo with four outputs, a picture with three, and a file that is none; a deletion as well."""
    from .conftest import Bucket

    idle = pipeline.imgpipe("cost", "--json").document
    assert (idle["basis"]["images"], idle["per_million"], idle["month"]) == (0, None, None)
    assert idle["standing_month"]["alarms"] == pytest.approx(0.7)
    said = pipeline.imgpipe("cost")
    assert "No image was processed" in said.err
    assert said.out.splitlines()[0] == "alarms\t\t0.700000"

    bucket = Bucket(pipeline)
    picture = pictures.saved(pictures.scene(300, 200), "JPEG")
    files = {KEY: sample_photo(2), "b.jpg": picture, "c.txt": b"no image", "gone.jpg": picture}
    made = [bucket.row_of(key, bucket.put(key, data)) for key, data in files.items()]
    bucket.delete("gone.jpg")
    until(lambda: pipeline.imgpipe("metrics", "--json").document["figures"]["deleted"] == 1)
    return made


def traffic(pipeline: Pipeline, connection: Connection | None = None) -> Traffic:
    clients = pipeline.clients
    if connection is not None:
        clients = Somewhere(clients, connection)
    now = datetime.now(UTC)
    return measured(clients, "imgpipe-dev", pipeline.outputs, {}, Window.since(now - timedelta(days=1), now), now)


class Somewhere(Clients):
    """The engine's clients under the name of another target."""

    def __init__(self, clients: Clients, connection: Connection) -> None:
        super().__init__(connection)
        self._clients = clients

    def __getitem__(self, service: str) -> Any:
        return self._clients[service]


def test_what_is_measured_is_what_happened(pipeline: Pipeline, rows: list[ImageRecord]) -> None:
    found = traffic(pipeline)
    work = found.work
    assert (work.ready, work.failed, work.deleted, work.settled, work.retried) == (3, 1, 1, 5, 0)
    assert work.invocations == 5
    assert 1 <= work.cold_starts <= 2
    assert work.bytes_in == sum(row.source.bytes or 0 for row in rows)
    assert work.bytes_out == sum(one.bytes for row in rows for one in row.outputs)
    assert work.milliseconds > sum(row.timings_ms["total"] for row in rows) * 0.9
    ready = rows[:2]  # those that are still there
    assert work.outputs == sum(len(row.outputs) for row in ready) / 2 == 3.5
    assert work.row == Row.mean([Row.of(row) for row in ready])
    assert found.metrics == METRICS + 3  # ImagesFailed, once more by its code, and ImagesDeleted
    assert not found.dashboard


def test_the_log_tells_the_same_on_a_target_without_metrics_of_lines(
    pipeline: Pipeline, rows: list[ImageRecord]
) -> None:
    del rows
    here, there = traffic(pipeline), traffic(pipeline, Connection("localstack", "us-east-1", "http://127.0.0.1:1"))
    assert there.work.milliseconds == pytest.approx(here.work.milliseconds, abs=1)
    for name in ("ready", "failed", "deleted", "settled", "invocations", "bytes_in", "bytes_out"):
        assert getattr(there.work, name) == getattr(here.work, name), name


def test_on_aws_the_time_is_the_one_that_lambda_bills(pipeline: Pipeline, rows: list[ImageRecord]) -> None:
    del rows
    here, there = traffic(pipeline), traffic(pipeline, Connection("aws", "us-east-1"))
    # The bucket's notification begins with a test event, which is an invocation and no image.
    assert there.work.invocations >= 5
    assert there.work.milliseconds > here.work.milliseconds


def test_the_command_says_it_for_programs_pipes_and_people(pipeline: Pipeline, rows: list[ImageRecord]) -> None:
    del rows
    document = pipeline.imgpipe("cost", "--json").document
    assert document["basis"]["images"] == 4
    assert document["basis"]["outputs"] == 3.5
    assert document["month"]["images"] == pytest.approx(4 * 730 * 3600 / document["basis"]["seconds"], abs=1)
    # Three images with 4, 3 and 3 outputs, of which one is gone: 3.5 each; four uploads; and two reads of each, and of
    # the deletion.
    puts, gets = (4 + 3 * 3.5) / 4, (4 + 1) * 2 / 4
    assert document["per_million"]["work"]["s3_requests"] == pytest.approx(puts * 5 + gets * 0.4)
    lines = dict(line.split("\t", 1) for line in pipeline.imgpipe("cost", "--since", "2h").out.splitlines())
    assert float(lines["total"].split("\t")[0]) == pytest.approx(document["per_million"]["total"], rel=0.01)
    bigger = pipeline.imgpipe("cost", "--memory", "3538", "--images", "1000000", "--json").document
    duration = document["per_million"]["work"]["lambda_duration"]
    assert bigger["per_million"]["work"]["lambda_duration"] == pytest.approx(2 * duration, rel=0.01)
    assert bigger["month"]["total"] == pytest.approx(bigger["per_million"]["total"])


def test_the_log_of_an_image_is_as_long_as_the_bill_says(pipeline: Pipeline, rows: list[ImageRecord]) -> None:
    """With four outputs and a key of 35 characters; shorter for what failed or was deleted."""
    del rows
    lines = [one for one in logs.read(logs.fetcher(pipeline.clients, pipeline.outputs.log_group), 0) if one.data]
    requests = {one.request_id for one in lines if (one.data or {}).get("image_key") == KEY}
    [request] = requests
    said = [one for one in lines if one.request_id == request]
    # The line of metrics does not name its invocation: it is the one that follows the outcome.
    said.append(lines[lines.index(said[-1]) + 1])
    assert ["_aws" in (one.data or {}) for one in said] == [False, False, True]
    size = sum(len(one.message.encode()) + 26 for one in said) + PLATFORM_BYTES + 2 * 26
    assert size == pytest.approx(LOG_BYTES, rel=0.15), json.dumps([one.message for one in said])


def test_a_real_row_is_as_large_as_a_typical_one(pipeline: Pipeline, rows: list[ImageRecord]) -> None:
    del pipeline
    real, typical = Row.of(rows[0]), Row.typical(4)
    assert real.item_bytes == pytest.approx(typical.item_bytes, rel=0.15)
    assert real.stored_bytes == pytest.approx(typical.stored_bytes, rel=0.15)
    assert real.index_units == typical.index_units
