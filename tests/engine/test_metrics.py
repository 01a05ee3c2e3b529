"""Metrics come from functions, queues and log lines; alarms follow one metric and come back to OK."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ministack.services import cloudwatch

from imgpipe.aws import Clients
from imgpipe.engine import alarms, metrics

Until = Callable[..., Any]


def line(**changes: Any) -> dict[str, Any]:
    """A log line in the embedded metric format."""
    directive = {
        "Namespace": "shop",
        "Dimensions": [["service"], ["service", "code"]],
        "Metrics": [{"Name": "Sold", "Unit": "Count"}, {"Name": "Took", "Unit": "Milliseconds"}],
    }
    told = {"service": "till", "code": "cash", "Sold": 2, "Took": [10, 30]}
    return {"_aws": {"Timestamp": 1, "CloudWatchMetrics": [directive]}, **told, **changes}


def test_an_embedded_line_becomes_a_metric_for_every_set_of_dimensions() -> None:
    found = list(metrics.embedded(json.dumps(line())))
    till, cash = {"service": "till"}, {"service": "till", "code": "cash"}
    assert found == [
        (*("shop", "Sold"), till, 2.0, "Count"),
        (*("shop", "Took"), till, 10.0, "Milliseconds"),
        (*("shop", "Took"), till, 30.0, "Milliseconds"),
        (*("shop", "Sold"), cash, 2.0, "Count"),
        (*("shop", "Took"), cash, 10.0, "Milliseconds"),
        (*("shop", "Took"), cash, 30.0, "Milliseconds"),
    ]


@pytest.mark.parametrize(
    "message",
    [
        "START RequestId: 1",
        '{"CloudWatchMetrics": 1',
        '{"_aws": {"CloudWatchMetrics": 7}}',
        '{"_aws": {"CloudWatchMetrics": [{"Namespace": "n", "Dimensions": [["gone"]], "Metrics": [{"Name": "x"}]}]}}',
        json.dumps(line(Sold="many")),
    ],
)
def test_a_line_that_is_none_is_only_a_line(message: str) -> None:
    assert list(metrics.embedded(message)) == []


ALARM = {"EvaluationPeriods": 3}


@pytest.mark.parametrize(
    ("rule", "breaching", "state"),
    [
        ({}, [True, True, True], "ALARM"),
        ({}, [True, True, False], "OK"),
        ({"DatapointsToAlarm": 2}, [True, False, True], "ALARM"),
        ({}, [None, None, None], "INSUFFICIENT_DATA"),
        ({"TreatMissingData": "ignore"}, [None, None, None], None),
        ({"TreatMissingData": "notBreaching"}, [None, None, None], "OK"),
        ({"TreatMissingData": "notBreaching"}, [True, True, None], "OK"),
        ({"TreatMissingData": "breaching"}, [True, True, None], "ALARM"),
        ({"TreatMissingData": "breaching"}, [None, None, None], "ALARM"),
    ],
)
def test_missing_data_counts_as_the_alarm_says(
    rule: dict[str, Any], breaching: list[bool | None], state: str | None
) -> None:
    assert alarms.verdict({**ALARM, **rule}, breaching) == state


def test_only_a_day_and_so_many_points_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "KEPT_POINTS", 3)
    monkeypatch.setattr(cloudwatch, "_metrics", type(cloudwatch._metrics)())
    now = time.time()
    metrics.record(("n", "old", {}, 1, "Count"), now - metrics.KEPT_SECONDS - 1)
    for value in range(5):
        metrics.record(("n", "new", {}, value, "Count"), now)
    metrics.prune()
    assert [key[2][1] for key in cloudwatch._metrics._data] == ["new"]
    [points] = cloudwatch._metrics._data.values()
    assert [point["Value"] for point in points] == [2, 3, 4]


def test_equal_values_in_a_row_are_one_point_that_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudwatch, "_metrics", type(cloudwatch._metrics)())
    for seconds in (0, 1, 2, 60):
        metrics.record(("n", "made", {}, 1, "Count"), 1000 + seconds)
    [points] = cloudwatch._metrics._data.values()
    assert [(point["Timestamp"], point.get("Count", 1)) for point in points] == [(1000, 3), (1060, 1)]
    assert cloudwatch._calc_stats(points)["Sum"] == 4


def total(clients: Clients, namespace: str, name: str, **dimensions: str) -> float:
    """The sum of a metric over the last quarter of an hour."""
    now = datetime.now(UTC)
    answer = clients["cloudwatch"].get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=now - timedelta(minutes=15),
        EndTime=now + timedelta(minutes=1),
        Period=3600,
        Statistics=["Sum"],
    )
    return sum(one["Sum"] for one in answer["Datapoints"])


def test_invocations_from_a_queue_are_counted_with_their_errors(
    clients: Clients, make_flow: Callable[..., Any], until: Until
) -> None:
    flow = make_flow(clients)
    flow.order(do="work")
    flow.order(do="die")
    until(lambda: total(clients, "AWS/Lambda", "Invocations", FunctionName=flow.name) >= 2)
    assert total(clients, "AWS/Lambda", "Errors", FunctionName=flow.name) == 1


def test_an_alarm_follows_its_own_queue_rings_and_comes_back(
    clients: Clients, make_flow: Callable[..., Any], until: Until
) -> None:
    flow, other = make_flow(clients), make_flow(clients)
    sqs, watch = clients["sqs"], clients["cloudwatch"]
    for one in (flow, other):
        watch.put_metric_alarm(
            AlarmName=one.name,
            Namespace="AWS/SQS",
            MetricName="ApproximateNumberOfMessagesVisible",
            Dimensions=[{"Name": "QueueName", "Value": f"{one.name}-dead"}],
            Statistic="Maximum",
            Period=10,
            EvaluationPeriods=1,
            Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="notBreaching",
        )

    def state(name: str) -> str:
        return str(watch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"])

    until(lambda: state(flow.name) == "OK")
    sqs.send_message(QueueUrl=flow.url("dead"), MessageBody="poison")
    until(lambda: state(flow.name) == "ALARM", 30)
    assert state(other.name) == "OK"
    sqs.purge_queue(QueueUrl=flow.url("dead"))
    until(lambda: state(flow.name) == "OK", 40)
