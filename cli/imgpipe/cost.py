"""What work costs on AWS: from what a pipeline did to the units that are billed, and from these to dollars.

The counts follow from the function's code: README, "How an image flows", and pipeline/image_pipeline/process.py.
Not counted: free tiers, discounts for volume, traffic to the internet, keys of KMS, the storage of logs, and parts of a
large upload, each of which is a PUT.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from imgpipe.prices import Prices
from imgpipe.rowsize import OVERHEAD, Row

GB = 2**30
MONTH = 730 * 3600
"""Seconds: AWS's own calculator has 730 hours a month."""

WHOLE_CPU = 1769
"""MB of memory at which Lambda gives one whole vCPU; below, it gives a share in proportion."""

COLD_START_MS = 500.0
"""Billed for a cold start, since August 2025. Imports and clients take less of a fast core (`scripts/bench coldstart`);
this leaves room for a slower one and for loading the code. Lambda lends a whole core to it, whatever the memory."""

LOG_BYTES = 1800
"""Of log an invocation, as CloudWatch takes it in: the function's "Received" (230), its outcome (450) and its embedded
metrics (530), Lambda's own start and report in JSON (440), and 26 for each of these five events."""

GETS = 2
"""Reads from S3 for an image: GetObject, and HeadObject when the row is committed."""

REQUESTS = 3
"""Of SQS for a message: S3 sends it, Lambda receives it, Lambda deletes it. Smaller than 64 kB each."""

REQUESTS_OF_A_RETRY = 3
"""The further receive, and up to two ChangeMessageVisibility: so that a crash comes back soon, and the back-off."""

POLLS = 5 * MONTH / 20
"""Requests of a month to SQS while nothing happens: Lambda keeps five long polls of 20 seconds open at a queue."""

ALARMS = 7

METRICS = 6
"""Custom metrics that every image has: its time, its latency, its bytes in and out, cold starts, images ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a pipeline did in some span of time, or would do.

    `milliseconds` are those of all `invocations`, cold starts apart; `settled` are the messages that ended well, one
    each for what became ready, failed or deleted, and for what had not changed. `outputs` and `row` are of one image
    that became ready. Bytes are the files', in and out.
    """

    ready: float
    failed: float = 0
    deleted: float = 0
    settled: float
    retried: float = 0
    invocations: float
    milliseconds: float
    cold_starts: float
    bytes_in: float
    bytes_out: float
    outputs: float
    row: Row
    memory: int = WHOLE_CPU
    architecture: str = "x86_64"

    @property
    def images(self) -> float:
        """Those that became ready or failed; what everything else is divided by."""
        return self.ready + self.failed

    def at(self, memory: int, architecture: str) -> Work:
        """The same work with another memory size (MB) and processor.

        The work of an image is that of one thread: below one vCPU it takes longer in proportion, above it gains
        nothing. Waiting for S3 is taken to be slower, too, and arm64 as fast as x86_64; both are not quite so.
        """
        slower = share(self.memory) / share(memory)
        return replace(self, milliseconds=self.milliseconds * slower, memory=memory, architecture=architecture)


def share(memory: int) -> float:
    """Of one vCPU, what a single thread gets with so many MB."""
    return min(1.0, memory / WHOLE_CPU)


@dataclass(frozen=True, slots=True)
class Bill:
    """Dollars by line: of the work itself, and of a month of keeping what it brought and made."""

    work: Mapping[str, float]
    storage: Mapping[str, float]

    @property
    def total(self) -> float:
        """Of the work."""
        return sum(self.work.values())

    def times(self, factor: float) -> Bill:
        """For so many times the work."""
        return Bill(*({name: one * factor for name, one in part.items()} for part in (self.work, self.storage)))

    def to_json(self) -> dict[str, Any]:
        """The document of one bill, in millionths of a dollar at best."""
        return {
            "work": {name: round(one, 6) for name, one in self.work.items()},
            "total": round(self.total, 6),
            "storage_month": {name: round(one, 6) for name, one in self.storage.items()},
        }


def bill(work: Work, prices: Prices) -> Bill:
    """What `work` costs."""
    gb_second = prices.gb_second(work.architecture)
    seconds_to_dollars = work.memory / 1024 * gb_second / 1000
    unchanged = max(0.0, work.settled - work.images - work.deleted)
    puts = work.ready * (1 + work.outputs) + work.failed  # the upload itself is one
    gets = GETS * (work.images + work.deleted) + unchanged + work.retried
    # A refused image has a row of less than 1 kB; a deletion costs as much as the write of what it deletes.
    writes = (work.ready + work.deleted) * work.row.units + work.failed
    index_writes = (work.images + work.deleted) * work.row.index_units + work.failed
    # The first read of a new image finds nothing, and is billed as one of 4 kB.
    reads = work.images + (work.deleted + unchanged + work.retried) * math.ceil(work.row.item_bytes / 4096)
    requests = REQUESTS * work.settled + REQUESTS_OF_A_RETRY * work.retried
    return Bill(
        {
            "lambda_duration": work.milliseconds * seconds_to_dollars,
            "lambda_requests": work.invocations * prices.lambda_million_requests / 1e6,
            "lambda_cold_starts": work.cold_starts * COLD_START_MS * seconds_to_dollars,
            "s3_requests": (puts * prices.s3_thousand_puts + gets * prices.s3_thousand_gets) / 1000,
            "sqs_requests": requests * prices.sqs_million_requests / 1e6,
            "dynamodb_writes": writes * prices.dynamodb_million_writes / 1e6,
            "dynamodb_index_writes": index_writes * prices.dynamodb_million_writes / 1e6,
            "dynamodb_reads": reads * prices.dynamodb_million_reads / 1e6,
            "cloudwatch_logs": work.invocations * LOG_BYTES / GB * prices.cloudwatch_log_gb,
        },
        {
            "originals": work.bytes_in / GB * prices.s3_gb_month,
            "renditions": work.bytes_out / GB * prices.s3_gb_month,
            "records": work.ready
            * (
                work.row.stored_bytes * prices.dynamodb_gb_month
                + (work.row.item_bytes + OVERHEAD) * prices.dynamodb_backup_gb_month
            )
            / GB,
        },
    )


def standing(prices: Prices, *, dashboard: bool, metrics: int) -> dict[str, float]:
    """Dollars of a month that do not depend on how many images there are; `metrics` only while there are some."""
    return {
        "alarms": ALARMS * prices.cloudwatch_alarm_month,
        "queue_polling": POLLS * prices.sqs_million_requests / 1e6,
        "dashboard": prices.cloudwatch_dashboard_month if dashboard else 0.0,
        "metrics": metrics * prices.cloudwatch_metric_month,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """`work` that was done in `seconds`, or that is assumed (None); how many custom metrics it has, and whether
    somebody looks at it on a dashboard."""

    work: Work
    metrics: int
    dashboard: bool
    seconds: float | None = None

    def on(self, memory: int | None, architecture: str | None) -> Traffic:
        """The same with another memory size (MB) or processor; an assumed time is of whatever was named with it."""
        memory, architecture = memory or self.work.memory, architecture or self.work.architecture
        if self.seconds is None:
            return replace(self, work=replace(self.work, memory=memory, architecture=architecture))
        return replace(self, work=self.work.at(memory, architecture))

    def to_json(self) -> dict[str, Any]:
        """Counts of the span, and means of what one image, or one invocation, takes."""
        work, each = self.work, self.work.images or 1
        return {
            "seconds": None if self.seconds is None else round(self.seconds),
            **{name: round(getattr(work, name)) for name in ("images", "failed", "deleted", "retried", "cold_starts")},
            "milliseconds": round(work.milliseconds / (work.invocations or 1), 1),
            "outputs": round(work.outputs, 2),
            "bytes_in": round(work.bytes_in / each),
            "bytes_out": round(work.bytes_out / each),
            "row_bytes": round(work.row.item_bytes),
            "memory_mb": work.memory,
            "architecture": work.architecture,
        }


@dataclass(frozen=True, slots=True)
class Estimate:
    """What traffic costs in US dollars: a million of its images, a month with `images` of them, and what a month costs
    anyway. None where there were no images."""

    prices: Prices
    traffic: Traffic
    standing: Mapping[str, float]
    per_million: Bill | None = None
    images: float | None = None
    month: Bill | None = None

    def to_json(self) -> dict[str, Any]:
        """The document of `imgpipe cost --json`."""
        return {
            "prices": asdict(self.prices),
            "basis": self.traffic.to_json(),
            "per_million": self.per_million and self.per_million.to_json(),
            "month": self.month and {"images": round(self.images or 0), **self.month.to_json()},
            "standing_month": {name: round(one, 6) for name, one in self.standing.items()},
        }


def estimate(traffic: Traffic, prices: Prices, *, images: float | None = None) -> Estimate:
    """What `traffic` costs; `images` a month, or as many as there would be if it went on as it was measured."""
    fixed = standing(prices, dashboard=traffic.dashboard, metrics=traffic.metrics)
    work = traffic.work
    if not work.images:
        return Estimate(prices, traffic, fixed)
    if images is None and traffic.seconds is not None:
        images = work.images * MONTH / traffic.seconds
    whole = bill(work, prices)
    month = None if images is None else whole.times(images / work.images)
    return Estimate(prices, traffic, fixed, whole.times(1e6 / work.images), images, month)
