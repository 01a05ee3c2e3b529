"""CloudWatch's metrics over a window of time, by GetMetricData."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from imgpipe.aws import Clients
from imgpipe.errors import ImgpipeError, usage

Series = tuple[float | None, ...]
"""One value a period, oldest first; None where there was nothing to measure."""

_PERIODS = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86_400, 8 * 86_400)
_MOST_PERIODS = 60
_KEPT = 455 * 86_400  # seconds that CloudWatch keeps a metric


@dataclass(frozen=True, slots=True)
class Window:
    """`count` periods of `period` seconds from `start` on (whole seconds since the epoch); the last one goes on now."""

    start: int
    period: int
    count: int

    @classmethod
    def since(cls, begin: datetime, now: datetime) -> Window:
        """The window that holds `begin` and `now`, in periods as short as CloudWatch has them, at most 61.

        Raises a usage error where `begin` is not in the past.
        """
        seconds = now.timestamp() - begin.timestamp()
        if seconds <= 0:
            raise usage(f"--since cannot be {begin:%Y-%m-%d %H:%M} UTC, which is still to come.", "use 10m, 2h or 7d")
        seconds = min(seconds, _KEPT)
        period = next(one for one in _PERIODS if seconds <= one * _MOST_PERIODS)
        start = int(now.timestamp() - seconds) // period * period
        return cls(start, period, int(now.timestamp() - start) // period + 1)

    @property
    def seconds(self) -> int:
        """From the first period to the end of the last."""
        return self.period * self.count

    def place(self, at: float) -> int | None:
        """The number of the period that a moment (seconds since the epoch) is in; None before and after the window."""
        number = int(at - self.start) // self.period if at >= self.start else self.count
        return number if number < self.count else None

    def moments(self) -> list[datetime]:
        """When each period begins."""
        return [moment(self.start + number * self.period) for number in range(self.count)]


class Query(NamedTuple):
    """One metric, by one statistic and period (s)."""

    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    statistic: str
    period: int


def merged(pages: Iterable[Mapping[str, Any]]) -> dict[str, dict[float, float]]:
    """Answers of GetMetricData by id: seconds since the epoch → value. One metric may be spread over several pages."""
    found: dict[str, dict[float, float]] = {}
    for page in pages:
        for one in page["MetricDataResults"]:
            if one.get("StatusCode") in ("InternalError", "Forbidden"):
                raise ImgpipeError(
                    "no_metrics",
                    f"CloudWatch does not give {one['Id']}: {one['StatusCode']}.",
                    "imgpipe logs -v has the figures line by line",
                )
            values = zip(one.get("Timestamps", ()), one.get("Values", ()), strict=True)
            found.setdefault(one["Id"], {}).update((at.timestamp(), value) for at, value in values)
    return found


def answers(clients: Clients, window: Window, queries: Mapping[str, Query]) -> dict[str, dict[float, float]]:
    """What CloudWatch has of each query within the window, by its name: seconds since the epoch → value.

    A name begins with a lower-case letter; letters, digits and _ follow. Raises ImgpipeError where it may not say.
    """
    asked = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": one.namespace,
                    "MetricName": one.metric,
                    "Dimensions": [{"Name": key, "Value": value} for key, value in one.dimensions.items()],
                },
                "Period": one.period,
                "Stat": one.statistic,
            },
        }
        for name, one in queries.items()
    ]
    pages = (
        clients["cloudwatch"]
        .get_paginator("get_metric_data")
        .paginate(
            MetricDataQueries=asked,
            StartTime=moment(window.start),
            EndTime=moment(window.start + window.seconds),
            ScanBy="TimestampAscending",
        )
    )
    return {**{name: {} for name in queries}, **merged(pages)}


def spread(answer: Mapping[float, float], window: Window) -> Series:
    """An answer in the order of the window's periods."""
    values: list[float | None] = [None] * window.count
    for at, value in answer.items():
        if (number := window.place(at)) is not None:
            values[number] = rounded(value)
    return tuple(values)


def rounded(value: float | None, digits: int = 1) -> float | None:
    """To so many digits; a whole number as an integer."""
    if value is None:
        return None
    short = round(value, digits)
    return int(short) if short == int(short) else short


def moment(seconds: float) -> datetime:
    """A moment from its seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)
