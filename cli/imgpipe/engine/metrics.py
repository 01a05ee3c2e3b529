"""The metrics that AWS makes by itself and ministack does not: of functions, of queues, and from log lines (EMF)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ministack.core import responses
from ministack.services import cloudwatch, cloudwatch_logs, lambda_svc, sqs

KEPT_SECONDS = 24 * 3600
KEPT_POINTS = 5000
"""What is kept of one metric: a day, and at most this many points. CloudWatch keeps 15 months."""

_SAME = 10.0  # seconds: equal values that close together are one point with a count
_changing = threading.RLock()

Datum = tuple[str, str, dict[str, str], float, str]
"""Namespace, name, dimensions, value, unit."""


def apply() -> None:
    """Replace what ministack records, before it serves."""
    invoke, emit = lambda_svc._execute_function_dispatch, lambda_svc._emit_lambda_metrics
    append = cloudwatch_logs._append_log_events

    def measured(func: dict[str, Any], config: dict[str, Any], *rest: Any) -> Any:
        """Every way to invoke a function counts, and not only the synchronous one."""
        began = time.time()
        result = invoke(func, config, *rest)
        failed = bool(result.get("error")) if isinstance(result, dict) else False
        emit(config.get("FunctionName", "unknown"), (time.time() - began) * 1000, failed, False)
        busy, _ = lambda_svc.executions_in_flight()
        of = {"FunctionName": config.get("FunctionName", "unknown")}
        record(("AWS/Lambda", "ConcurrentExecutions", of, busy, "Count"))
        return result

    def only_throttles(name: str, duration_ms: float, error: bool, throttle: bool) -> None:
        if throttle:
            emit(name, duration_ms, error, throttle)

    def extracted(stream: dict[str, Any], events: list[dict[str, Any]]) -> None:
        append(stream, events)
        for event in events:
            for datum in embedded(event["message"]):
                record(datum)

    lambda_svc._execute_function_dispatch = measured
    lambda_svc._emit_lambda_metrics = only_throttles
    cloudwatch_logs._append_log_events = extracted
    cloudwatch.record_metric = lambda namespace, name, value, unit="None", dimensions=None: record(
        (namespace, name, dict(dimensions or {}), value, unit)
    )
    cloudwatch._evict_old_metrics = prune


def record(datum: Datum, at: float | None = None) -> None:
    """Add a value to a metric of the account and region in hand; `at` is in seconds since the epoch."""
    namespace, name, dimensions, value, unit = datum
    moment = time.time() if at is None else at
    with _changing:
        points = cloudwatch._metric_bucket((namespace, name, cloudwatch._dims_key(dimensions)))
        last = points[-1] if points else None
        if last and last["Value"] == value and "_stat" not in last and 0 <= moment - last["Timestamp"] < _SAME:
            last["Count"] = last.get("Count", 1.0) + 1
            return
        points.append({"Timestamp": moment, "Value": float(value), "Unit": unit, "Dimensions": dimensions})


def prune() -> None:
    """Forget what is older than a day, and the oldest points of a metric that has too many."""
    with _changing:
        oldest = time.time() - KEPT_SECONDS
        for key, points in list(cloudwatch._metrics._data.items()):
            kept = [point for point in points[-KEPT_POINTS:] if point["Timestamp"] >= oldest]
            if not kept:
                del cloudwatch._metrics._data[key]
            elif len(kept) < len(points):
                points[:] = kept


def embedded(message: str) -> Iterator[Datum]:
    """The metrics that a log line in CloudWatch's embedded metric format carries; none where it is any other line.

    The format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format.html
    """
    if '"CloudWatchMetrics"' not in message:
        return
    try:
        line = json.loads(message)
        directives = line["_aws"]["CloudWatchMetrics"]
        for directive in directives:
            for names in directive["Dimensions"]:
                dimensions = {name: str(line[name]) for name in names}
                for metric in directive["Metrics"]:
                    values = line[metric["Name"]]
                    for value in values if isinstance(values, list) else [values]:
                        unit = metric.get("Unit", "None")
                        yield directive["Namespace"], metric["Name"], dimensions, float(value), unit
    except (ValueError, TypeError, KeyError):
        return  # CloudWatch keeps such a line as a line


def of_queue(queue: Mapping[str, Any], now: float) -> Iterator[Datum]:
    """What SQS reports of a queue once a minute."""
    of, messages = {"QueueName": queue["name"]}, list(queue["messages"])
    visible = sum(one["visible_at"] <= now for one in messages)
    delayed = sum(one["visible_at"] > now and not one.get("receive_count") for one in messages)
    oldest = min((one.get("enqueued_at", one["sent_at"]) for one in messages), default=now)
    yield "AWS/SQS", "ApproximateNumberOfMessagesVisible", of, visible, "Count"
    yield "AWS/SQS", "ApproximateNumberOfMessagesNotVisible", of, len(messages) - visible - delayed, "Count"
    yield "AWS/SQS", "ApproximateNumberOfMessagesDelayed", of, delayed, "Count"
    yield "AWS/SQS", "ApproximateAgeOfOldestMessage", of, int(now - oldest), "Seconds"


def look_at_queues() -> None:
    """Record the depths and ages of every account's queues."""
    now = time.time()
    for (account, region, _), queue in list(sqs._queues._data.items()):
        with within(account, region):
            for datum in of_queue(queue, now):
                record(datum, now)


@contextmanager
def within(account: str, region: str) -> Iterator[None]:
    """Act as if a request of that account and region had come in."""
    tokens = responses._request_account_id.set(account), responses._request_region.set(region)
    try:
        yield
    finally:
        responses._request_account_id.reset(tokens[0])
        responses._request_region.reset(tokens[1])
