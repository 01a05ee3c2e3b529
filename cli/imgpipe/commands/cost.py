"""`imgpipe cost`: what the pipeline costs on AWS, for a million images and for the user's own traffic."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgpipe.commands.base import Invocation
from imgpipe.commands.meta import size
from imgpipe.console import Cell, Span
from imgpipe.errors import ExitStatus, ImgpipeError, not_up, usage

if TYPE_CHECKING:
    from imgpipe.cost import Estimate, Traffic

EXAMPLES = """
imgpipe cost
imgpipe cost --since 7d --images 2000000
imgpipe cost --milliseconds 200 --memory 3008
imgpipe cost --json | jq .per_million.total
"""

REHEARSAL = "cost --milliseconds 200"
"""To try while there is nothing to measure: about what a photo of 12 megapixels takes at 1769 MB."""

_LABELS = {
    "lambda_duration": "Lambda duration",
    "lambda_requests": "Lambda requests",
    "lambda_cold_starts": "Lambda cold starts",
    "s3_requests": "S3 requests",
    "sqs_requests": "SQS requests",
    "dynamodb_writes": "DynamoDB writes",
    "dynamodb_index_writes": "DynamoDB index writes",
    "dynamodb_reads": "DynamoDB reads",
    "cloudwatch_logs": "CloudWatch logs",
    "total": "together",
    "originals": "originals in S3",
    "renditions": "renditions in S3",
    "records": "records, with backup",
    "alarms": "alarms",
    "queue_polling": "polling the queue",
    "dashboard": "dashboard",
    "metrics": "custom metrics, while used",
}


_WIDTH = 10


class Architecture(StrEnum):
    """A processor that Lambda has."""

    X86_64 = "x86_64"
    ARM64 = "arm64"


def cost(
    ctx: typer.Context,
    since: Annotated[
        str, typer.Option(help="Measure from 2h, 7d ago or a time on (default: 1d).", metavar="WHEN")
    ] = "",
    images: Annotated[
        int | None, typer.Option(min=1, help="How many a month (default: as measured).", metavar="N")
    ] = None,
    milliseconds: Annotated[
        int | None,
        typer.Option(min=1, max=900_000, help="Assume this time for an image; needs no pipeline.", metavar="N"),
    ] = None,
    megabytes: Annotated[float, typer.Option(help="With --milliseconds: the size of a file.", metavar="N")] = 4.0,
    memory: Annotated[
        int | None, typer.Option(min=128, max=10_240, help="As if the function had so many MB.", metavar="MB")
    ] = None,
    architecture: Annotated[Architecture | None, typer.Option(help="As if it ran on this processor.")] = None,
    prices: Annotated[Path | None, typer.Option(envvar="IMGPIPE_PRICES", help="Other prices.", metavar="FILE")] = None,
) -> None:
    """Show what the pipeline costs on AWS: for a million images, and for a month of yours.

    Times, sizes, failures and retries are measured: they are in the pipeline's metrics and its newest records.
    --milliseconds assumes an image instead, before anything is deployed. Prices are list prices without free tiers, of
    the day and region that the answer names; --prices or IMGPIPE_PRICES takes others. In a pipe, each line is a name,
    dollars for a million images, and dollars for the month.
    """
    from imgpipe.cost import estimate
    from imgpipe.prices import load

    invocation = Invocation.of(ctx)
    console = invocation.console
    if since and milliseconds is not None:
        raise usage("--since measures and --milliseconds assumes: give one of them.", invocation.command(REHEARSAL))
    if not 0 < megabytes <= 5_000:
        raise usage(f"--megabytes cannot be {megabytes:g}.", "a number above 0, and at most 5000")
    listed = load(prices)
    if milliseconds is None:
        traffic = _measured(invocation, since or "1d")
    else:
        from imgpipe.traffic import assumed

        traffic = assumed(invocation.config.parameters, milliseconds, megabytes * 1e6)
    found = estimate(traffic.on(memory, architecture and architecture.value), listed, images=images)
    if invocation.config.target == "aws" and invocation.config.region != listed.region:
        console.note(Span("warning: ", "warn"), f"the prices are those of {listed.region}.")
    if console.json:
        console.emit(found.to_json())
        return
    if console.terminal:
        console.line(_title(found))
        for line in _about(found, invocation.config.target):
            console.line(Span(line, "dim"))
        console.line()
    console.table(_header(found), _rows(found, people=console.terminal), indent=2)
    if found.per_million is None:
        if not console.terminal:
            console.note(_title(found))
        further = f"Further back: {invocation.command('cost --since 30d')}"
        console.hint(f"{further}, or by an assumed time: {invocation.command(REHEARSAL)}")


def _measured(invocation: Invocation, since: str) -> Traffic:
    from imgpipe.logs import parse_since
    from imgpipe.metricdata import Window
    from imgpipe.stack.deploy import describe
    from imgpipe.traffic import measured

    now = datetime.now(UTC)
    window = Window.since(parse_since(since, now), now)  # what cannot be is said before anybody is asked
    stage = invocation.config.stage
    try:
        clients = invocation.clients()
        view = describe(clients, stage)
        if view is None or view.outputs is None:
            raise not_up(f"There is no stack for the stage {stage}.", invocation.command("up"))
    except ImgpipeError as error:
        if error.status is ExitStatus.UNREACHABLE:
            error.hint += f", or by an assumed time: {invocation.command(REHEARSAL)}"
        raise
    return measured(clients, view.name, view.outputs, view.parameters, window, now)


def _title(found: Estimate) -> Span:
    basis, work, seconds = found.traffic.to_json(), found.traffic.work, found.traffic.seconds
    if found.per_million is None:
        return Span(f"No image was processed in {_span(seconds or 0)}, so what one costs is not known.", "strong")
    each = f"{basis['milliseconds']:.0f} ms, {basis['outputs']:g} outputs"
    files = f"{size(basis['bytes_in'])} in, {size(basis['bytes_out'])} out"
    what = "An assumed image" if seconds is None else f"{work.images:,.0f} images in {_span(seconds)}"
    return Span(f"{what}: {each}, {files}; {work.memory} MB of {work.architecture}", "strong")


def _about(found: Estimate, target: str) -> list[str]:
    """What one has to know of the figures."""
    prices, basis = found.prices, found.traffic.to_json()
    words = {"failed": "failed", "deleted": "deleted", "retried": "tried again", "cold_starts": "started cold"}
    happened = ", ".join(f"{basis[name]:,} {word}" for name, word in words.items() if basis[name])
    lines = [happened] if happened else []
    if found.traffic.seconds is not None and target != "aws":
        lines.append("The time is that of a whole core of this machine, which is what 1769 MB buy on Lambda.")
    return [*lines, f"US dollars, list prices of {prices.region} as of {prices.date}, before free tiers"]


def _span(seconds: float) -> str:
    hours = seconds / 3600
    return f"{seconds / 60:.0f} min" if hours < 1 else f"{hours:.0f} h" if hours <= 48 else f"{hours / 24:.0f} days"


def _header(found: Estimate) -> tuple[str, str, str]:
    month = "a month" if found.images is None else f"{found.images:,.0f} a month"
    return ("", "a million".rjust(_WIDTH), month.rjust(_WIDTH))


def _rows(found: Estimate, *, people: bool) -> list[tuple[Cell, Cell, Cell]]:
    """Names, dollars for a million images and dollars for the month; for people in groups, each below its title."""
    million, month = found.per_million, found.month
    width = len(_header(found)[2])
    rows: list[tuple[Cell, Cell, Cell]] = []

    def row(name: str, left: float | None, right: float | None) -> None:
        if not people:
            rows.append((name, "" if left is None else f"{left:.6f}", "" if right is None else f"{right:.6f}"))
            return
        style = "strong" if name == "total" else "dim"
        cells = Span(_dollars(left).rjust(_WIDTH), "strong"), Span(_dollars(right).rjust(width), "strong")
        rows.append((Span("  " + _LABELS[name], style), *cells))

    def group(title: str, left: Mapping[str, float], right: Mapping[str, float]) -> None:
        if people:
            rows.append((Span(title, "strong"), "", ""))
        for name in left or right:
            row(name, left.get(name), right.get(name))

    if million is not None:
        group("The work", million.work, month.work if month else {})
        row("total", million.total, month.total if month else None)
        group("Keeping it, each month", million.storage, month.storage if month else {})
    group("However many there are, each month", {}, found.standing)
    return rows


def _dollars(amount: float | None) -> str:
    if amount is None:
        return ""
    return "< 0.01" if 0 < amount < 0.005 else f"{amount:,.2f}"
