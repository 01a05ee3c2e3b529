"""`imgpipe logs`: the function's log, each line once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Console, Piece, Span
from imgpipe.errors import ExitStatus

if TYPE_CHECKING:
    from imgpipe.logs import Line

EXAMPLES = """
imgpipe logs -f
imgpipe logs --key photo.jpg
imgpipe logs --errors --since 2h
imgpipe logs -f --json | jq .message
"""

_STYLES = {"DEBUG": "dim", "INFO": "good", "WARNING": "warn", "ERROR": "bad", "CRITICAL": "bad"}
_SHOWN_APART = ("level", "message", "timestamp", "time", "type", "exception", "stack_trace")
_CONTEXT = ("location", "service", "xray_trace_id", "exception_name", "request_id")


def logs(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines as they come.")] = False,
    since: Annotated[
        str | None, typer.Option(help="From 10m, 2h, 7d ago or a time (1h; 1d with --key).", metavar="WHEN")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only the lines of this image.", metavar="KEY")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only warnings and errors.")] = False,
) -> None:
    """Read or follow the function's log.

    -v shows the platform's own lines and the metrics too. --key shows the lines that name the image, and what Lambda
    says of the invocations that worked on it. --json prints one document, {"events": […]}; with -f it prints JSON
    Lines, one event on each.
    """
    from imgpipe import logs as core
    from imgpipe.stack.names import log_group

    invocation = Invocation.of(ctx)
    console = invocation.console
    start = core.parse_since(since or ("1d" if key else "1h"), datetime.now(UTC))
    clients = invocation.open()[0] if follow else invocation.clients()
    selection = core.Selection(key=key, errors=errors, plumbing=console.verbose)
    fetch = core.fetcher(clients, log_group(invocation.config.stage))
    begin = int(start.timestamp() * 1000)
    lines = core.follow(fetch, begin, trouble=_trouble(invocation)) if follow else core.read(fetch, begin)
    wanted = selection.of(lines)
    moment = f"{start.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if not follow:
        wanted = _or_missing(wanted, invocation, key, moment)
    if console.json and not follow:
        console.emit({"events": [line.to_json() for line in wanted]})
        return
    shown = 0
    try:
        for line in wanted:
            shown += 1
            if console.json:
                console.emit_line(line.to_json())
            else:
                _draw(console, line, alone=key is not None)
    except KeyboardInterrupt:
        if not (follow and console.json):
            raise
        # How one ends following; among JSON Lines there is no place for another document.
        raise typer.Exit(ExitStatus.INTERRUPTED) from None
    if not shown:
        console.note(f"No such lines since {moment}; --since looks further back.")


def _or_missing(wanted: Iterator[Line], invocation: Invocation, key: str | None, moment: str) -> Iterator[Line]:
    """The same lines; where there are none for want of a stack or of the image, raises not_up or unknown_key."""
    if (first := next(wanted, None)) is not None:
        yield first
        yield from wanted
        return
    clients, names = invocation.open()
    if key is None:
        return
    from imgpipe import catalog
    from imgpipe.commands.missing import missing

    if catalog.row(clients, names.table, key) is None:
        error = missing(invocation, clients, names, key)
        if error.code == "unknown_key":
            # One that was deleted before may have left its lines.
            error.message += f" Nor has the log a line about it since {moment}."
        raise error


def _trouble(invocation: Invocation) -> Callable[[Exception], None]:
    """Says that a look failed, once until it fails otherwise; ends the tail (exit 4) where nothing is up any more."""
    said = ""

    def tell(error: Exception) -> None:
        nonlocal said
        from imgpipe.failures import explain

        invocation.target.connect()
        failure = explain(error)
        if failure.message != said:
            invocation.console.note(Span("warning: ", "warn"), failure.message, " Trying again.")
        said = failure.message

    return tell


def _draw(console: Console, line: Line, *, alone: bool) -> None:
    when = Span(f"{line.when:%H:%M:%S}.{line.timestamp % 1000:03d}", "dim")
    level = Span(f"{line.level:<8}", _STYLES.get(line.level, "dim"))
    if line.data is None:
        console.line(when, "  ", level, "  ", line.message)
        return
    if "_aws" in line.data:
        level = Span("METRICS ", "dim")
    hidden = {"_aws", *_SHOWN_APART, *(() if console.verbose else _CONTEXT), *(("image_key",) if alone else ())}
    pieces: list[Piece] = [when, "  ", level, "  ", str(line.data.get("message") or line.data.get("type", ""))]
    for name, value in line.data.items():
        if name not in hidden:
            pieces += ["  ", Span(f"{name}=", "dim"), _short(value)]
    console.line(*pieces)
    for trace in str(line.data.get("exception", "")).splitlines():
        console.line("    ", Span(trace, "dim"))


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}:{_short(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    return str(value)
