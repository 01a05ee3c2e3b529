"""Old log lines go, by age and by number."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ministack.services import cloudwatch_logs

from imgpipe.engine import retention

NOW = int(time.time() * 1000)
DAY = 24 * 3600 * 1000


def group(days: int | None, ages: dict[str, int], lines: int = 10) -> dict[str, Any]:
    """A log group with one stream per name, `ages` days old."""
    streams = {
        name: {"events": [{"timestamp": NOW - age * DAY}] * lines, "lastEventTimestamp": NOW - age * DAY}
        for name, age in ages.items()
    }
    return {"retentionInDays": days, "streams": streams}


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Any:
    """ministack's log groups, none yet."""
    empty = type(cloudwatch_logs._log_groups)()
    monkeypatch.setattr(cloudwatch_logs, "_log_groups", empty)
    return empty


def test_lines_older_than_the_retention_go(groups: Any) -> None:
    groups["short"], groups["endless"] = group(3, {"new": 1, "old": 4}), group(None, {"new": 1, "old": 4})
    retention.prune_logs()
    assert set(groups["short"]["streams"]) == {"new"}
    assert set(groups["endless"]["streams"]) == {"new", "old"}


def test_the_oldest_lines_of_too_many_go(groups: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "KEPT_EVENTS", 25)
    groups["busy"] = group(None, {"first": 3, "third": 1, "second": 2, "fourth": 0})
    retention.prune_logs()
    assert set(groups["busy"]["streams"]) == {"third", "fourth"}
