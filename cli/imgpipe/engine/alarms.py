"""Alarms as CloudWatch evaluates them: one metric by its dimensions, missing data by rule, and OK again afterwards."""

from __future__ import annotations

import operator
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ministack.services import cloudwatch

from imgpipe.engine.metrics import within

_BREACHES = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


def apply() -> None:
    """Replace ministack's evaluation, which knows neither dimensions nor a way back to OK."""
    cloudwatch._evaluate_alarm = evaluate


def look_at_alarms() -> None:
    """Evaluate every alarm of every account and region."""
    for (account, region, _), alarm in list(cloudwatch._alarms._data.items()):
        with within(account, region):
            evaluate(alarm)


def evaluate(alarm: dict[str, Any]) -> None:
    """Bring one alarm of the account and region in hand up to date, and tell its topic where its state changes."""
    compare = _BREACHES.get(alarm.get("ComparisonOperator", ""))
    if compare is None or not alarm.get("MetricName"):
        return  # a formula or an anomaly band: the state stays what it was put to
    values = periods(alarm, time.time())
    state = verdict(alarm, [None if value is None else compare(value, alarm["Threshold"]) for value in values])
    if state is None or state == alarm["StateValue"]:
        return
    seen = ", ".join("no data" if value is None else f"{value:g}" for value in values)
    reason = f"{alarm['MetricName']} was {seen}; the threshold is {alarm['Threshold']:g}"
    before, alarm["StateValue"] = alarm["StateValue"], state
    alarm["StateReason"] = reason
    alarm["StateUpdatedTimestamp"] = int(time.time())
    cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def periods(alarm: Mapping[str, Any], now: float) -> list[float | None]:
    """The statistic of each of the alarm's periods, newest first; None where there was no data.

    Counted back from now, where CloudWatch counts from the full minute: an alarm here rings up to a minute earlier.
    """
    dimensions = {one["Name"]: one["Value"] for one in alarm.get("Dimensions") or ()}
    key = (alarm["Namespace"], alarm["MetricName"], cloudwatch._dims_key(dimensions))
    points = cloudwatch._metrics.get(key) or []
    length = int(alarm.get("Period") or 60)
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
    found: list[float | None] = []
    for back in range(int(alarm.get("EvaluationPeriods") or 1)):
        end = now - back * length
        inside = [point for point in points if end - length < point["Timestamp"] <= end]
        stats = cloudwatch._calc_stats(inside)
        found.append(cloudwatch._stat_value(stats, statistic, inside) if stats else None)
    return found


def verdict(alarm: Mapping[str, Any], breaching: Sequence[bool | None]) -> str | None:
    """The state that periods (True: breaching, None: no data) make; None leaves it as it is."""
    missing = alarm.get("TreatMissingData") or "missing"
    if missing in ("ignore", "missing") and all(one is None for one in breaching):
        return None if missing == "ignore" else "INSUFFICIENT_DATA"
    bad = sum(one is True or (one is None and missing == "breaching") for one in breaching)
    needed = int(alarm.get("DatapointsToAlarm") or alarm.get("EvaluationPeriods") or 1)
    return "ALARM" if bad >= needed else "OK"
