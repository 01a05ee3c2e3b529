"""`imgpipe metrics`: throughput, latency and queues over time."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from imgpipe.commands.base import Invocation
from imgpipe.commands.meta import size
from imgpipe.console import Cell, Piece, Span
from imgpipe.errors import ExitStatus, usage

if TYPE_CHECKING:
    from imgpipe.aws import Clients
    from imgpipe.metricdata import Window
    from imgpipe.metrics import Report
    from imgpipe.stack.names import StackOutputs

EXAMPLES = """
imgpipe metrics
imgpipe metrics --since 1d
imgpipe metrics --watch
imgpipe metrics --json | jq .figures.latency_p95_ms
"""

BARS = "▁▂▃▄▅▆▇█"
_BESIDE = 32  # columns that a label and a figure take beside the sparkline

# On AWS a look is some thirty metrics of GetMetricData: this often, about four cents an hour (us-east-1, 2026).
_PAUSE, _PAUSE_ON_AWS = 2.0, 30.0

_LABELS = {
    "ready": "ready",
    "failed": "failed",
    "per_minute": "per minute",
    "deleted": "deleted",
    "retried": "tried again",
    "rejected": "rejected",
    "bytes_in": "bytes in",
    "bytes_out": "bytes out",
    "cold_starts": "cold starts",
    "processing_p50_ms": "processing p50",
    "processing_p95_ms": "processing p95",
    "latency_p50_ms": "end to end p50",
    "latency_p95_ms": "end to end p95",
    "waiting": "waiting now",
    "in_flight": "in work now",
    "oldest_s": "oldest waits",
    "dead": "dead letters",
}
_ONLY_IF_ANY = ("deleted", "retried", "rejected")
_BAD = ("failed", "rejected", "dead")


def metrics(
    ctx: typer.Context,
    since: Annotated[str, typer.Option(help="From 10m, 2h, 7d ago or a time on.", metavar="WHEN")] = "1h",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again and again, until Ctrl-C.")] = False,
) -> None:
    """Show throughput, latency and queues over time.

    Figures are of the whole window, those of the queues of now; percentiles are of all images in it. In a pipe, each
    figure is a line of its name and value. --watch needs a terminal, or --json: then it prints JSON Lines.
    """
    invocation = Invocation.of(ctx)
    console = invocation.console
    if watch and not (console.terminal or console.json):
        raise usage("--watch draws on a terminal, and this is none.", "imgpipe metrics --watch --json")
    _window(since, datetime.now(UTC))  # what cannot be is said before anybody is asked
    clients, names = invocation.open()
    if watch:
        try:
            _watch(invocation, clients, names, since)
        except KeyboardInterrupt:
            # How one ends watching, and no failure to talk about.
            raise typer.Exit(ExitStatus.INTERRUPTED) from None
    report = _look(invocation, clients, names, since)
    if console.json:
        console.emit(report.to_json())
    elif not console.terminal:
        console.table((), [(name, _plain(value)) for name, value in _flat(report)])
        if report.idle:
            console.note(_nothing(report))
    elif report.idle:
        console.line(_nothing(report))
        _hint_at_dead_letters(invocation, report)
    else:
        console.line(_title(report))
        console.line()
        console.table(("", "", ""), _rows(report), indent=2)
        _hint_at_dead_letters(invocation, report)


def _window(since: str, now: datetime) -> Window:
    from imgpipe.logs import parse_since
    from imgpipe.metricdata import Window

    return Window.since(parse_since(since, now), now)


def _look(invocation: Invocation, clients: Clients, names: StackOutputs, since: str) -> Report:
    from imgpipe.metrics import report
    from imgpipe.stack.names import stack_name

    now = datetime.now(UTC)
    return report(clients, stack_name(invocation.config.stage), names, _window(since, now), now)


def _watch(invocation: Invocation, clients: Clients, names: StackOutputs, since: str) -> None:
    """Look until interrupted; a look that fails and may succeed later is told, and made again."""
    from imgpipe.failures import explain, may_pass

    console = invocation.console
    pause = _PAUSE_ON_AWS if clients.connection.endpoint_url is None else _PAUSE
    report: Report | None = None
    with nullcontext() if console.json else console.redrawn() as draw:
        while True:
            trouble = ""
            try:
                report = _look(invocation, clients, names, since)
            except Exception as error:
                if report is None or not may_pass(error):
                    invocation.open()  # says so where it was taken down meanwhile
                    raise
                invocation.target.connect()
                trouble = f"{explain(error).message} Trying again."
            if draw is not None:
                said = Span(trouble, "warn") if trouble else Span(f"every {pause:.0f} s, until Ctrl-C", "dim")
                draw(_nothing(report) if report.idle else _title(report), _rows(report), said)
            elif trouble:
                console.note(Span("warning: ", "warn"), trouble)
            else:
                console.emit_line(report.to_json())
            time.sleep(pause)


def _flat(report: Report) -> list[tuple[str, float | None]]:
    """Every figure by its name in the JSON document; failures by code as failed.CODE."""
    return [*report.figures.items(), *((f"failed.{code}", count) for code, count in report.failed_by_code.items())]


def _plain(value: float | None) -> str:
    return "" if value is None else str(value)


def _title(report: Report) -> Piece:
    window = report.window
    begin, last = window.moments()[0], window.moments()[-1]
    shape = "%H:%M" if begin.date() == last.date() else "%Y-%m-%d %H:%M"
    step = f"{window.period // 60} min" if window.period < 3600 else f"{window.period // 3600} h"
    return Span(f"{report.stack} since {begin.strftime(shape)} UTC, in steps of {step}", "strong")


def _nothing(report: Report) -> str:
    return f"Nothing has come in since {report.window.moments()[0]:%Y-%m-%d %H:%M} UTC, and nothing waits."


def _hint_at_dead_letters(invocation: Invocation, report: Report) -> None:
    if report.figures["dead"]:
        invocation.console.hint(f"Dead letters: {invocation.command('failures')}")
    elif report.idle and report.window.seconds < 86_400:
        invocation.console.hint(f"Further back: {invocation.command('metrics --since 1d')}")


def _rows(report: Report) -> list[tuple[Cell, Cell, Cell]]:
    width = max(len(BARS), shutil.get_terminal_size().columns - _BESIDE)
    rows: list[tuple[Cell, Cell, Cell]] = []
    for name, label in _LABELS.items():
        value = report.figures[name]
        if name in _ONLY_IF_ANY and not value:
            continue
        style = "bad" if name in _BAD and value else "strong"
        rows.append(
            (
                Span(label, "dim"),
                Span(_amount(name, value).rjust(9), style),
                Span(sparkline(report.series[name], width), "name"),
            )
        )
        if name == "failed":
            rows += [("", str(count).rjust(9), code) for code, count in report.failed_by_code.items()]
    return rows


def _amount(name: str, value: float | None) -> str:
    """A figure for people, with its unit."""
    if value is None:
        return "-"
    if name.startswith("bytes"):
        return size(int(value))
    if name.endswith("_ms"):
        return f"{value:.0f} ms" if value < 1000 else _duration(value / 1000)
    if name.endswith("_s"):
        return _duration(value)
    return f"{value:,}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """Bars from 0 to the largest value, a blank where there is no value; only 0 has the lowest bar.

    Where there are more values than columns, the largest of its neighbours stands for them.
    """
    columns = min(width, len(values))
    edges = [number * len(values) // columns for number in range(columns + 1)] if columns else []
    groups = [[one for one in values[a:b] if one is not None] for a, b in itertools.pairwise(edges)]
    tops = [max(group, default=None) for group in groups]
    most = max((one for one in tops if one is not None), default=0)
    return "".join(" " if one is None else _bar(one, most) for one in tops)


def _bar(value: float, most: float) -> str:
    return BARS[0] if value <= 0 else BARS[max(1, round(value / most * (len(BARS) - 1)))]
