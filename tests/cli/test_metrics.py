"""Figures from CloudWatch and from log lines, windows of time, and how both are drawn."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.stub import Stubber
from commandline import Finished
from hypothesis import given
from hypothesis import strategies as st
from ministack.services.cloudwatch import _percentile

from image_pipeline import telemetry
from imgpipe.aws import Clients
from imgpipe.commands.metrics import _LABELS, BARS, _amount, sparkline
from imgpipe.errors import ImgpipeError
from imgpipe.logs import Line
from imgpipe.metricdata import Query, Window, answers, merged, spread
from imgpipe.metrics import COUNTED, NAMES, NAMESPACE, QUEUED, TIMED, Report, from_lines, percentile, report
from imgpipe.stack.names import StackOutputs
from imgpipe.targets.base import Connection

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
HOUR = Window.since(NOON - timedelta(hours=1), NOON)


def seconds(minutes: float) -> float:
    """So many minutes after the window's beginning, in seconds since the epoch."""
    return HOUR.start + minutes * 60


def line(at: float, service: str = "imgpipe-dev", **values: Any) -> Line:
    """A line of metrics as the function prints it."""
    data = {"_aws": {"Timestamp": int(at * 1000)}, "service": service, **values}
    return Line(int(at * 1000), "a", json.dumps(data), data)


def test_the_names_are_those_that_the_function_gives() -> None:
    assert NAMESPACE == telemetry.NAMESPACE
    assert {*COUNTED.values(), *(of for of, _ in TIMED.values())} == set(telemetry.UNITS)


def test_every_figure_has_its_line() -> None:
    assert list(_LABELS) == list(NAMES)
    assert set(NAMES) == {*COUNTED, *TIMED, *QUEUED, "per_minute"}


@pytest.mark.parametrize(
    ("back", "period", "count"),
    [
        ("1s", 60, 1),
        ("10m", 60, 11),
        ("1h", 60, 61),
        ("61m", 300, 13),
        ("1d", 3600, 25),
        ("7d", 3 * 3600, 57),
        ("30d", 86_400, 31),
        ("9000d", 8 * 86_400, 58),
    ],
)
def test_a_window_has_periods_that_cloudwatch_keeps_and_not_too_many(back: str, period: int, count: int) -> None:
    from imgpipe.logs import parse_since

    now = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)
    window = Window.since(parse_since(back, now), now)
    assert (window.period, window.start % window.period) == (period, 0)
    assert abs(window.count - count) <= 1
    assert window.place(now.timestamp()) == window.count - 1
    # CloudWatch has minutes for 15 days, five minutes for 63, hours for 455.
    assert window.start > now.timestamp() - 470 * 86_400


def test_a_window_cannot_begin_in_the_future() -> None:
    with pytest.raises(ImgpipeError, match="still to come") as failure:
        Window.since(NOON + timedelta(minutes=1), NOON)
    assert failure.value.status == 2


@given(st.integers(0, 500 * 86_400), st.integers(0, 2_000_000_000))
def test_every_moment_of_a_window_has_its_place(back: int, now: int) -> None:
    end = datetime.fromtimestamp(now + 86_400 * 600, UTC)
    window = Window.since(end - timedelta(seconds=back + 1), end)
    assert window.count <= 62
    assert [window.place(at.timestamp()) for at in window.moments()] == list(range(window.count))
    assert window.place(window.start - 0.1) is None
    assert window.place(window.start + window.seconds) is None


@pytest.mark.parametrize(
    ("values", "p50", "p95"),
    [((), None, None), ((7,), 7, 7), ((1, 3), 2, 2.9), ((4, 1, 3, 2), 2.5, 3.85), (range(101), 50, 95)],
)
def test_percentiles_lie_between_the_nearest_two(values: Any, p50: float | None, p95: float | None) -> None:
    assert percentile(values, 50) == pytest.approx(p50)
    assert percentile(values, 95) == pytest.approx(p95)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([0, 1, 50, 95, 100]))
def test_percentiles_are_those_of_the_engine(values: list[float], rank: int) -> None:
    assert percentile(values, rank) == pytest.approx(_percentile([(one, 1.0) for one in values], rank))


def test_lines_of_metrics_become_figures_by_period() -> None:
    lines = [
        line(seconds(-1), ImagesReady=[1.0], ProcessingTime=[9.0]),
        line(seconds(0), ImagesReady=[1.0], ProcessingTime=[10.0], BytesIn=[2000.0], ColdStart=[1.0]),
        line(seconds(1.5), ImagesReady=[1.0], ProcessingTime=[30.0], BytesIn=[500.0], ColdStart=[0.0]),
        line(seconds(1.9), ImagesFailed=1.0, code="corrupt"),
        line(seconds(1.9), ImagesFailed=[1.0], code="corrupt"),
        line(seconds(2), "imgpipe-other", ImagesReady=[1.0]),
        line(seconds(61), ImagesReady=[1.0]),
        Line(int(seconds(2) * 1000), "a", "REPORT", None),
        Line(int(seconds(2) * 1000), "a", "{}", {"service": "imgpipe-dev", "ImagesReady": 1}),
    ]
    found = from_lines(lines, "imgpipe-dev", HOUR)
    assert found.series["ready"][:3] == (1, 1, 0)
    assert found.series["failed"][:3] == (0, 2, 0)
    assert (sum(found.series["bytes_in"]), sum(found.series["cold_starts"])) == (2500, 1)  # type: ignore[arg-type]
    assert found.series["processing_p50_ms"][:3] == (10, 30, None)
    assert found.percentiles == {
        **{"processing_p50_ms": 20, "processing_p95_ms": 29},
        **{"latency_p50_ms": None, "latency_p95_ms": None},
    }
    assert found.failed_by_code == {"corrupt": 2}
    assert {len(one) for one in found.series.values()} == {HOUR.count}


def result(name: str, minutes: dict[int, float], status: str = "Complete") -> dict[str, Any]:
    at = [datetime.fromtimestamp(seconds(one), UTC) for one in minutes]
    return {"Id": name, "Timestamps": at, "Values": list(minutes.values()), "StatusCode": status}


def test_one_metric_may_be_spread_over_pages() -> None:
    pages = [
        {"MetricDataResults": [result("a", {0: 1, 2: 2}, "PartialData"), result("b", {})]},
        {"MetricDataResults": [result("a", {5: 3})]},
    ]
    found = merged(pages)
    assert found == {"a": {seconds(0): 1, seconds(2): 2, seconds(5): 3}, "b": {}}
    assert spread(found["a"], HOUR)[:6] == (1, None, 2, None, None, 3)


@pytest.mark.parametrize("status", ["InternalError", "Forbidden"])
def test_an_answer_without_figures_is_a_failure_and_not_a_zero(status: str) -> None:
    with pytest.raises(ImgpipeError, match=f"ready: {status}"):
        merged([{"MetricDataResults": [result("ready", {}, status)]}])


@pytest.fixture
def cloudwatch() -> Iterator[tuple[Clients, Stubber]]:
    clients = Clients(Connection("aws", "eu-west-1", access_key_id="a", secret_access_key="b"))
    with Stubber(clients["cloudwatch"]) as stub:
        yield clients, stub
        stub.assert_no_pending_responses()


def test_all_pages_are_read_with_the_same_question(cloudwatch: tuple[Clients, Stubber]) -> None:
    clients, stub = cloudwatch
    question = {
        "MetricDataQueries": [
            {
                "Id": "ready",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "imgpipe",
                        "MetricName": "ImagesReady",
                        "Dimensions": [{"Name": "service", "Value": "imgpipe-dev"}],
                    },
                    "Period": 60,
                    "Stat": "Sum",
                },
            }
        ],
        "StartTime": datetime.fromtimestamp(HOUR.start, UTC),
        "EndTime": datetime.fromtimestamp(HOUR.start + HOUR.seconds, UTC),
        "ScanBy": "TimestampAscending",
    }
    first = {"MetricDataResults": [result("ready", {0: 1}, "PartialData")], "NextToken": "more"}
    stub.add_response("get_metric_data", first, question)
    stub.add_response(
        "get_metric_data", {"MetricDataResults": [result("ready", {1: 2})]}, question | {"NextToken": "more"}
    )
    asked = {"ready": Query("imgpipe", "ImagesReady", {"service": "imgpipe-dev"}, "Sum", 60)}
    assert answers(clients, HOUR, asked) == {"ready": {seconds(0): 1, seconds(1): 2}}


OUTPUTS = StackOutputs(**{one.name: one.name for one in fields(StackOutputs)})


def test_on_aws_cloudwatch_works_out_the_percentiles_of_the_whole_window(cloudwatch: tuple[Clients, Stubber]) -> None:
    clients, stub = cloudwatch
    asked: list[dict[str, Any]] = []
    clients["cloudwatch"].meta.events.register_first(
        "before-parameter-build", lambda params, **_: asked.append(dict(params))
    )
    of_images = [
        result("ready", {0: 2, 1: 1}),
        result("failed", {1: 1}),
        result("processing_p50_ms", {0: 10, 1: 90}),
        result("whole_processing_p50_ms", {0: 40.25}),
        result("code_corrupt", {1: 1}),
        result("code_empty", {}),
    ]
    stub.add_response("get_metric_data", {"MetricDataResults": of_images})
    stub.add_response("get_metric_data", {"MetricDataResults": [result("waiting", {0: 5})]})
    age = {"Id": "oldest_s", "Timestamps": [NOON - timedelta(minutes=2)], "Values": [70.0], "StatusCode": "Complete"}
    stub.add_response("get_metric_data", {"MetricDataResults": [age]})
    with Stubber(clients["sqs"]) as sqs:
        for waiting in ("4", "0"):
            numbers = {"": waiting, "NotVisible": "1", "Delayed": "0"}
            depths = {f"ApproximateNumberOfMessages{kind}": number for kind, number in numbers.items()}
            sqs.add_response("get_queue_attributes", {"Attributes": depths})
        found = report(clients, "imgpipe-dev", OUTPUTS, HOUR, NOON)

    assert found.figures["processing_p50_ms"] == 40.2
    assert found.series["processing_p50_ms"][:3] == (10, 90, None)
    assert (found.figures["ready"], found.figures["failed"], found.figures["per_minute"]) == (3, 1, 0.07)
    assert found.series["per_minute"][:3] == (2, 2, 0)
    assert found.failed_by_code == {"corrupt": 1}
    assert {name: found.figures[name] for name in QUEUED} == {"waiting": 4, "in_flight": 1, "dead": 1, "oldest_s": 70}
    images, queue, lately = asked
    periods = {one["Id"]: one["MetricStat"]["Period"] for one in images["MetricDataQueries"]}
    assert {period for name, period in periods.items() if name.startswith("whole_")} == {HOUR.seconds}
    assert {period for name, period in periods.items() if not name.startswith("whole_")} == {60}
    # AWS takes at most 500 questions at a time, and bills each.
    assert len(periods) + len(queue["MetricDataQueries"]) < 40
    assert lately["StartTime"] >= NOON - timedelta(minutes=6)


@pytest.mark.parametrize(
    ("values", "width", "bars"),
    [
        ((), 10, ""),
        ((0, 0), 10, "▁▁"),
        ((0, 1, 7, None), 10, "▁▂█ "),
        ((0.001, 1000), 10, "▂█"),
        (range(8), 10, BARS),
        ((0, 9, 0, 0, None, None), 3, "█▁ "),
        ((1, 1, 1), 2, "██"),
    ],
)
def test_a_sparkline_tells_zero_from_little_and_from_nothing(values: Any, width: int, bars: str) -> None:
    assert sparkline(values, width) == bars


@given(st.lists(st.none() | st.floats(0, 1e12)), st.integers(1, 80))
def test_a_sparkline_fits_and_keeps_its_highest_peak(values: list[float | None], width: int) -> None:
    bars = sparkline(values, width)
    assert len(bars) == min(width, len(values))
    assert (BARS[-1] in bars) == any(values)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ready", 1234, "1,234"),
        ("per_minute", 0.05, "0.05"),
        ("bytes_in", 9_711_993, "9.7 MB"),
        ("processing_p50_ms", 82.4, "82 ms"),
        ("latency_p95_ms", 1098.2, "1.1 s"),
        ("latency_p95_ms", 61_000, "1.0 min"),
        ("latency_p95_ms", None, "-"),
        ("oldest_s", 59, "59 s"),
        ("oldest_s", 7200, "2.0 h"),
    ],
)
def test_a_figure_for_people_has_a_unit(name: str, value: float | None, words: str) -> None:
    assert _amount(name, value) == words


def test_a_pipeline_that_only_looked_is_not_idle_and_a_dead_letter_alone_is_no_work() -> None:
    def having(**figures: float) -> Report:
        nothing: dict[str, float | None] = dict.fromkeys(NAMES, 0) | dict.fromkeys(TIMED)
        return Report("imgpipe-dev", HOUR, nothing | figures, {}, {})

    assert having().idle
    assert having(dead=3).idle
    for name in ("ready", "failed", "deleted", "retried", "rejected", "processing_p50_ms", "waiting", "in_flight"):
        assert not having(**{name: 1}).idle


def test_what_cannot_be_is_a_usage_error_before_anything_is_asked(imgpipe: Callable[..., Finished]) -> None:
    for arguments in (("--since", "soon"), ("--since", "2099-01-01")):
        done = imgpipe("metrics", *arguments, "--json")
        assert (done.status, done.document["error"]["code"]) == (2, "usage")
    watch = imgpipe("metrics", "--watch")
    assert watch.status == 2
    assert "imgpipe metrics --watch --json" in watch.err
    assert imgpipe("metrics").status == 4
