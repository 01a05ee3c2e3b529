"""Throughput, latency and queues over time: the same figures on every target, from CloudWatch or from the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from image_pipeline.record import Refusal
from imgpipe import logs
from imgpipe.aws import Clients
from imgpipe.logs import Line
from imgpipe.metricdata import Query, Series, Window, answers, moment, rounded, spread
from imgpipe.stack.names import StackOutputs
from imgpipe.status import queues

NAMESPACE = "imgpipe"

COUNTED = {
    "ready": "ImagesReady",
    "failed": "ImagesFailed",
    "deleted": "ImagesDeleted",
    "retried": "ImagesRetried",
    "rejected": "MessagesRejected",
    "bytes_in": "BytesIn",
    "bytes_out": "BytesOut",
    "cold_starts": "ColdStart",
}
"""Figures that add up, with the pipeline's metrics that they are."""

TIMED = {
    "processing_p50_ms": ("ProcessingTime", 50),
    "processing_p95_ms": ("ProcessingTime", 95),
    "latency_p50_ms": ("EndToEndLatency", 50),
    "latency_p95_ms": ("EndToEndLatency", 95),
}
"""Figures that are percentiles, and of which metric. Latency is from S3's event to the committed record."""

QUEUED = {
    "waiting": "ApproximateNumberOfMessagesVisible",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "oldest_s": "ApproximateAgeOfOldestMessage",
    "dead": "ApproximateNumberOfMessagesVisible",
}
"""Figures of the jobs queue, and of the dead-letter queue's depth, with SQS's names for them."""

NAMES = ("ready", "failed", "per_minute", *[one for one in COUNTED if one not in ("ready", "failed")], *TIMED, *QUEUED)
"""All figures, in the order that they are shown in; per_minute are the images that became ready or failed."""

# CloudWatch counts a period from the start that is asked for, the engine from 1970: one period for both is a whole
# window on AWS, and longer than the time since 1970 there.
_EVER = 2_147_483_640
_RECENT = 300  # seconds; SQS reports the age of the oldest message once a minute, and CloudWatch some minutes late


@dataclass(frozen=True, slots=True)
class Report:
    """What `imgpipe metrics` says, by NAMES: `figures` of the whole window, but for those of QUEUED, which are of now.

    A figure is None where nothing was measured.
    """

    stack: str
    window: Window
    figures: Mapping[str, float | None]
    failed_by_code: Mapping[str, int]
    series: Mapping[str, Series]

    @property
    def idle(self) -> bool:
        """Whether nothing was worked on in the window, and nothing waits."""
        names = ("ready", "failed", "deleted", "retried", "rejected", "processing_p50_ms", "waiting", "in_flight")
        return not any(self.figures[name] for name in names)

    def to_json(self) -> dict[str, Any]:
        """The document of `imgpipe metrics --json`: times in ISO-8601 UTC, milliseconds, seconds, bytes."""
        window = self.window
        rows = zip(window.moments(), *self.series.values(), strict=True)
        return {
            "stack": self.stack,
            "from": _iso(moment(window.start)),
            "to": _iso(moment(window.start + window.seconds)),
            "period_s": window.period,
            "idle": self.idle,
            "figures": dict(self.figures),
            "failed_by_code": dict(self.failed_by_code),
            "series": [{"at": _iso(at), **dict(zip(self.series, values, strict=True))} for at, *values in rows],
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """What the pipeline says of itself: COUNTED and TIMED by period, percentiles of the whole window, failures."""

    series: Mapping[str, Series]
    percentiles: Mapping[str, float | None]
    failed_by_code: Mapping[str, int]


def report(clients: Clients, stack: str, names: StackOutputs, window: Window, now: datetime) -> Report:
    """Ask CloudWatch, SQS and, where CloudWatch knows nothing of the pipeline, the log."""
    # LocalStack makes no metrics of log lines (EMF), and answers a percentile with an error.
    if clients.connection.target == "localstack":
        lines = logs.read(logs.fetcher(clients, names.log_group), window.start * 1000)
        measured = from_lines(lines, stack, window)
    else:
        measured = _from_cloudwatch(clients, stack, window)
    past = answers(clients, window, queued := _of_queues(names, window))
    series = {**measured.series, **{name: spread(past[name], window) for name in queued}}
    done = [(ready or 0) + (failed or 0) for ready, failed in zip(series["ready"], series["failed"], strict=True)]
    series["per_minute"] = tuple(rounded(one * 60 / window.period, 2) for one in done)
    figures: dict[str, float | None] = {name: sum(one or 0 for one in measured.series[name]) for name in COUNTED}
    # The last period is not over yet.
    figures["per_minute"] = rounded(sum(done) * 60 / max(60.0, now.timestamp() - window.start), 2)
    figures |= {**measured.percentiles, **_now(clients, names, now)}
    return Report(
        stack,
        window,
        {name: figures[name] for name in NAMES},
        measured.failed_by_code,
        {name: series[name] for name in NAMES},
    )


def from_lines(lines: Iterable[Line], stack: str, window: Window) -> Measured:
    """What CloudWatch would make of the metrics in log lines (EMF) of a stack."""
    counts = {name: [0.0] * window.count for name in COUNTED}
    samples: dict[str, list[list[float]]] = {of: [[] for _ in range(window.count)] for of, _ in TIMED.values()}
    codes: dict[str, float] = {}
    for at, data in _embedded(lines, stack):
        if (number := window.place(at)) is None:
            continue
        for name, metric in COUNTED.items():
            counts[name][number] += sum(_values(data, metric))
        for metric, periods in samples.items():
            periods[number] += _values(data, metric)
        if "code" in data and (failed := sum(_values(data, "ImagesFailed"))):
            codes[str(data["code"])] = codes.get(str(data["code"]), 0) + failed
    timed = {name: tuple(rounded(percentile(one, rank)) for one in samples[of]) for name, (of, rank) in TIMED.items()}
    whole = {of: [value for one in periods for value in one] for of, periods in samples.items()}
    return Measured(
        {name: tuple(rounded(one) for one in values) for name, values in counts.items()} | timed,
        {name: rounded(percentile(whole[of], rank)) for name, (of, rank) in TIMED.items()},
        {code: int(value) for code, value in sorted(codes.items())},
    )


def percentile(values: Sequence[float], rank: float) -> float | None:
    """The value below which `rank` per cent lie, interpolated between the nearest two; None where there are none."""
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * rank / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _from_cloudwatch(clients: Clients, stack: str, window: Window) -> Measured:
    here = {"service": stack}
    counted = {name: Query(NAMESPACE, metric, here, "Sum", window.period) for name, metric in COUNTED.items()}
    timed = {name: Query(NAMESPACE, of, here, f"p{rank}", window.period) for name, (of, rank) in TIMED.items()}
    long = window.seconds if clients.connection.endpoint_url is None else _EVER
    whole = {f"whole_{name}": one._replace(period=long) for name, one in timed.items()}
    codes = {
        f"code_{code}": Query(NAMESPACE, "ImagesFailed", {**here, "code": code}, "Sum", window.period)
        for code in map(str, Refusal)
    }
    found = answers(clients, window, {**counted, **timed, **whole, **codes})
    failed = {code: int(sum(found[f"code_{code}"].values())) for code in sorted(map(str, Refusal))}
    return Measured(
        {name: tuple(one or 0 for one in spread(found[name], window)) for name in counted}
        | {name: spread(found[name], window) for name in timed},
        {name: rounded(next(iter(found[f"whole_{name}"].values()), None)) for name in timed},
        {code: count for code, count in failed.items() if count},
    )


def _of_queues(names: StackOutputs, window: Window) -> dict[str, Query]:
    jobs, dead = (url.rsplit("/", 1)[-1] for url in (names.jobs_queue_url, names.dead_letter_queue_url))
    return {
        name: Query("AWS/SQS", metric, {"QueueName": dead if name == "dead" else jobs}, "Maximum", window.period)
        for name, metric in QUEUED.items()
    }


def _now(clients: Clients, names: StackOutputs, now: datetime) -> dict[str, float | None]:
    """The queues as SQS has them at this moment; CloudWatch is minutes behind."""
    depths = queues(clients, names)
    found: dict[str, float | None] = {"waiting": depths.waiting, "in_flight": depths.in_flight, "dead": depths.dead}
    found["oldest_s"] = 0
    if depths.waiting or depths.in_flight:
        # SQS itself does not tell the age of a message that nobody receives.
        lately = Window(int(now.timestamp()) // 60 * 60 - _RECENT, 60, _RECENT // 60 + 1)
        query = {"oldest_s": _of_queues(names, lately)["oldest_s"]}
        known = [one for one in spread(answers(clients, lately, query)["oldest_s"], lately) if one is not None]
        found["oldest_s"] = known[-1] if known else None
    return found


def _embedded(lines: Iterable[Line], stack: str) -> Iterator[tuple[float, Mapping[str, Any]]]:
    """When (seconds since the epoch) and what, of every line of metrics that is the stack's."""
    for line in lines:
        data = line.data or {}
        about = data.get("_aws")
        if isinstance(about, Mapping) and data.get("service") == stack:
            yield float(about.get("Timestamp", line.timestamp)) / 1000, data


def _values(data: Mapping[str, Any], metric: str) -> list[float]:
    values = data.get(metric, [])
    return [float(one) for one in (values if isinstance(values, list) else [values])]


def _iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
