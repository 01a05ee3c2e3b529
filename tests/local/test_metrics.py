"""`imgpipe metrics` on a pipeline that is up: right to the count, the same from CloudWatch and from the log."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pictures
import pytest
from commandline import Finished, clean_environment

from imgpipe import logs
from imgpipe.metricdata import Window
from imgpipe.metrics import NAMES, TIMED, from_lines, report

from .conftest import until

if TYPE_CHECKING:
    from conftest import Bucket, Pipeline

COUNTS = {"ready": 3, "failed": 2, "deleted": 1, "retried": 0, "rejected": 0}


def figures(pipeline: Pipeline) -> dict[str, Any]:
    done = pipeline.imgpipe("metrics", "--json")
    assert done.status == 0, done
    found: dict[str, Any] = done.document["figures"]
    return found


@pytest.fixture(scope="module")
def worked(pipeline: Pipeline) -> dict[str, int]:
    """Three images, two files that are none, and one deletion; the bytes that went in and out, by name."""
    from .conftest import Bucket

    bucket = Bucket(pipeline)
    until(lambda: "Nothing has come in" in pipeline.imgpipe("metrics").err)
    assert pipeline.imgpipe("metrics", "--json").document["idle"] is True
    photo = pictures.saved(pictures.scene(300, 200), "JPEG")
    files = {"a.jpg": photo, "b.jpg": photo, "c.jpg": photo, "d.txt": b"no image", "e.jpg": b""}
    rows = [bucket.row_of(key, bucket.put(key, data)) for key, data in files.items()]
    bucket.delete("a.jpg")
    until(lambda: figures(pipeline)["deleted"] == 1)
    return {
        "bytes_in": sum(map(len, files.values())),
        "bytes_out": sum(one.bytes for row in rows for one in row.outputs),
    }


def test_the_figures_are_right_to_the_count(pipeline: Pipeline, worked: dict[str, int]) -> None:
    document = pipeline.imgpipe("metrics", "--json").document
    found = document["figures"]
    assert {name: found[name] for name in COUNTS} == COUNTS
    assert {name: found[name] for name in worked} == worked
    assert 1 <= found["cold_starts"] <= 2
    assert 0 < found["processing_p50_ms"] <= found["processing_p95_ms"]
    assert 0 < found["latency_p50_ms"] <= found["latency_p95_ms"]
    assert (found["waiting"], found["in_flight"], found["dead"], found["oldest_s"]) == (0, 0, 0, 0)
    assert document["failed_by_code"] == {"unsupported_type": 1, "empty": 1}


def test_the_document_has_one_shape(pipeline: Pipeline, worked: dict[str, int]) -> None:
    del worked
    document = pipeline.imgpipe("metrics", "--since", "2h", "--json").document
    assert list(document) == [
        *("stack", "from", "to", "period_s", "idle", "figures", "failed_by_code", "series"),
    ]
    assert (document["stack"], document["period_s"], document["idle"]) == ("imgpipe-dev", 300, False)
    begin, end = (datetime.fromisoformat(document[one]) for one in ("from", "to"))
    assert begin <= datetime.now(UTC) - timedelta(hours=2)
    assert datetime.now(UTC) < end
    assert list(document["figures"]) == list(NAMES)
    series = document["series"]
    assert {tuple(one) for one in series} == {("at", *NAMES)}
    step = timedelta(seconds=300)
    assert [datetime.fromisoformat(one["at"]) for one in series] == [begin + step * at for at in range(len(series))]
    assert begin + step * len(series) == end
    for name in ("ready", "failed", "bytes_in", "cold_starts"):
        assert sum(one[name] for one in series) == document["figures"][name]
    assert sum(one["per_minute"] for one in series) == pytest.approx((3 + 2) / 5, abs=0.02)


def test_the_log_says_the_same_as_cloudwatch(pipeline: Pipeline, worked: dict[str, int]) -> None:
    """So that a target without metrics of log lines has the same figures."""
    del worked
    clients, outputs = pipeline.clients, pipeline.outputs
    now = datetime.now(UTC)
    # Long periods: the engine dates a metric by when it came in, a moment after the line was written.
    window = Window.since(now - timedelta(days=1), now)
    asked = report(clients, "imgpipe-dev", outputs, window, now)
    lines = logs.read(logs.fetcher(clients, outputs.log_group), window.start * 1000)
    read = from_lines(lines, "imgpipe-dev", window)
    for name in (*COUNTS, "bytes_in", "bytes_out", "cold_starts"):
        assert sum(one or 0 for one in read.series[name]) == asked.figures[name], name
    for name in TIMED:
        assert read.percentiles[name] == pytest.approx(asked.figures[name], abs=0.11), name
    assert read.failed_by_code == asked.failed_by_code


def test_what_waits_is_counted_and_has_an_age(pipeline: Pipeline, bucket: Bucket) -> None:
    mapping = bucket.outputs.event_source_mapping
    bucket.clients["lambda"].update_event_source_mapping(UUID=mapping, Enabled=False)
    try:
        for number in range(3):
            bucket.put(f"waits/{number}", b"")
        waiting = until(lambda: found if (found := figures(pipeline))["oldest_s"] else None)
        assert waiting["waiting"] + waiting["in_flight"] == 3
    finally:
        bucket.clients["lambda"].update_event_source_mapping(UUID=mapping, Enabled=True)
    bucket.wait_until_quiet()


def test_a_pipe_gets_names_and_plain_numbers(pipeline: Pipeline, worked: dict[str, int]) -> None:
    del worked
    done = pipeline.imgpipe("metrics")
    lines = dict(line.split("\t") for line in done.out.splitlines())
    assert list(lines)[: len(NAMES)] == list(NAMES)
    assert all(one == "" or float(one) >= 0 for one in lines.values())
    assert lines["deleted"] == "1"
    assert lines["failed.unsupported_type"] == "1"
    assert done.err == ""


def started(pipeline: Pipeline, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "imgpipe", *arguments],
        env=clean_environment(pipeline.home) | {"IMGPIPE_PORT": str(pipeline.port)} | environment,
        cwd=pipeline.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> Finished:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return Finished(process.returncode, out, err)


def read_until(process: subprocess.Popen[str], done: Callable[[str], bool]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if done(line):
            return line
    raise AssertionError(process.communicate())


def test_watching_prints_a_document_a_line_until_ctrl_c(pipeline: Pipeline) -> None:
    with started(pipeline, "metrics", "--watch", "--json") as process:
        first, second = (json.loads(read_until(process, bool)) for _ in range(2))
        assert first.keys() == second.keys()
        done = ended(process)
    assert (done.status, done.err) == (130, "")


def test_watching_draws_again_and_again_until_ctrl_c(pipeline: Pipeline, worked: dict[str, int]) -> None:
    del worked
    with started(pipeline, "metrics", "--watch", FORCE_COLOR="1", COLUMNS="80") as process:
        title = read_until(process, lambda line: "imgpipe-dev since" in line)
        assert "Ctrl-C" not in title
        assert "█" in read_until(process, lambda line: "ready" in line)
        read_until(process, lambda line: "until Ctrl-C" in line)
        done = ended(process)
    assert (done.status, done.err) == (130, "")


def test_a_pipeline_that_is_taken_down_ends_the_watch(pipeline: Pipeline) -> None:
    """The last test here: nothing is up afterwards."""
    with started(pipeline, "metrics", "--watch", "--json") as process:
        read_until(process, bool)
        assert pipeline.imgpipe("down", "--yes").status == 0
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 4
    assert '"code": "not_up"' in out
