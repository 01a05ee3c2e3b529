"""How the pipeline is doing: its stack, its queues, its images, its alarms and the last thing that went wrong."""

from __future__ import annotations

from dataclasses import dataclass

from imgpipe import catalog
from imgpipe.aws import Clients
from imgpipe.queues import depths
from imgpipe.stack.deploy import StackView
from imgpipe.stack.names import StackOutputs


@dataclass(frozen=True, slots=True)
class Queues:
    """Messages that wait, that a worker holds, and that failed every receive. SQS says "approximately"."""

    waiting: int
    in_flight: int
    dead: int


@dataclass(frozen=True, slots=True)
class Images:
    """Images by status. `approximate` is set where the table counts its rows only every six hours."""

    ready: int
    failed: int
    approximate: bool


@dataclass(frozen=True, slots=True)
class LastFailure:
    """The image that failed last, when (ISO-8601 UTC) and why."""

    image_key: str
    code: str
    reason: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything `imgpipe status` says. `endpoint` is None where it is AWS's own; `alarms` are those that ring."""

    target: str
    endpoint: str | None
    account: str
    region: str
    stage: str
    stack: str
    state: str
    queues: Queues | None
    images: Images | None
    alarms: tuple[str, ...]
    last_failure: LastFailure | None


def report(clients: Clients, stage: str, view: StackView) -> Report:
    """Ask everything; what a stack that was never finished does not have is None."""
    names = view.outputs
    return Report(
        target=clients.connection.target,
        endpoint=clients.connection.endpoint_url,
        account=clients["sts"].get_caller_identity()["Account"],
        region=clients.connection.region,
        stage=stage,
        stack=view.name,
        state=view.status,
        queues=queues(clients, names) if names else None,
        images=_images(clients, names.table) if names else None,
        alarms=_alarms(clients, view.name),
        last_failure=_last_failure(clients, names.table) if names else None,
    )


def queues(clients: Clients, names: StackOutputs) -> Queues:
    """The depths of both queues, of SQS itself."""
    jobs, dead = depths(clients, names.jobs_queue_url), depths(clients, names.dead_letter_queue_url)
    return Queues(jobs.waiting, jobs.in_flight, dead.total)


def _images(clients: Clients, table: str) -> Images:
    rows = clients["dynamodb"].describe_table(TableName=table)["Table"]["ItemCount"]
    failed = catalog.count_failed(clients, table)
    return Images(max(0, rows - failed), failed, approximate=clients.connection.endpoint_url is None)


def _alarms(clients: Clients, stack: str) -> tuple[str, ...]:
    pages = (
        clients["cloudwatch"].get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{stack}-", StateValue="ALARM")
    )
    # Asked for by prefix, LocalStack lists them all.
    return tuple(
        alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"] if alarm["StateValue"] == "ALARM"
    )


def _last_failure(clients: Clients, table: str) -> LastFailure | None:
    newest = catalog.page(clients, table, catalog.Query(failed=True), 1).entries
    record = catalog.row(clients, table, newest[0].image_key) if newest else None
    if record is None or record.failure is None:
        return None
    return LastFailure(record.image_key, record.failure.code.value, record.failure.reason, record.processed_at)
