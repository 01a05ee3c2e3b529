"""`imgpipe ls`: images, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Cell, Span, plain, safe
from imgpipe.errors import usage

if TYPE_CHECKING:
    from imgpipe.catalog import Entry, Query

EXAMPLES = """
imgpipe ls
imgpipe ls --failed --since 2h
imgpipe ls --user ada --day 2026-01-31
imgpipe ls --prefix holiday/ --limit 100 --json
"""

_HEADER = ("status", "uploaded", "size", "format", "user", "key")
_GAP = 2
_KEY_ROOM = 20  # a longer key is folded


def ls(
    ctx: typer.Context,
    user: Annotated[str | None, typer.Option(help="Only this user's.", metavar="NAME")] = None,
    day: Annotated[str | None, typer.Option(help="Only those of one day, UTC, or today.", metavar="YYYY-MM-DD")] = None,
    since: Annotated[str | None, typer.Option(help="Only those since 10m, 2h, 7d or a time.", metavar="WHEN")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    prefix: Annotated[str, typer.Option(help="Only keys that begin so.", metavar="TEXT")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many.", metavar="N")] = 20,
    next_: Annotated[str | None, typer.Option("--next", help="Go on from a token.", metavar="TOKEN")] = None,
) -> None:
    """List images, newest first.

    A long list ends with the command that goes on. A narrow terminal gets fewer columns. In a pipe, each line is
    status, time, size, format, user and key, separated by tabs.
    """
    from imgpipe import catalog
    from imgpipe.stack.names import table_name

    invocation = Invocation.of(ctx)
    query = _query(user, day, since, failed, prefix)
    if next_ and query != catalog.Query():
        raise usage("--next goes on with the listing it came from, so it takes no filters.", "imgpipe ls --next TOKEN")
    clients = invocation.clients()
    with invocation.reading():
        page = catalog.page(clients, table_name(invocation.config.stage), query, limit, next_)
    console = invocation.console
    if console.json:
        console.emit({"images": [asdict(entry) for entry in page.entries], "next": page.next})
        return
    rows = [_row(entry) for entry in page.entries]
    shown = fitting([_HEADER, *rows], get_terminal_size().columns) if console.terminal else range(len(_HEADER))
    console.table([_HEADER[n] for n in shown], [[row[n] for n in shown] for row in rows])
    if not page.entries:
        console.note("No images." if query == catalog.Query() and not page.next else "No such images here.")
    if page.next:
        console.note(Span("More: ", "dim"), Span(invocation.command(f"ls --limit {limit} --next {page.next}"), "dim"))


def fitting(rows: Sequence[Sequence[Cell]], width: int) -> list[int]:
    """The columns, in their order, that `width` cells have room for beside the last one, the key, which is never cut.

    Of the others, those on the left are kept first.
    """
    from rich.cells import cell_len

    widths = [max(cell_len(safe(plain(cell))) for cell in column) for column in zip(*rows, strict=True)]
    left = width - min(widths[-1], _KEY_ROOM)
    shown = []
    for number, needed in enumerate(widths[:-1]):
        if needed + _GAP <= left:
            left -= needed + _GAP
            shown.append(number)
    return [*shown, len(widths) - 1]


def _query(user: str | None, day: str | None, since: str | None, failed: bool, prefix: str) -> Query:
    from imgpipe.catalog import Query

    if user is not None and failed:
        raise usage("--user and --failed do not go together.", "imgpipe ls --failed --json | jq")
    begin = until = None
    if day is not None:
        if since is not None:
            raise usage("--day and --since do not go together.", "imgpipe ls --day 2026-01-31")
        first = _day(day)
        begin, until = first.isoformat(), (first + timedelta(days=1)).isoformat()
    elif since is not None:
        from imgpipe.logs import parse_since

        begin = parse_since(since, datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return Query(user=user, failed=failed, since=begin, until=until, prefix=prefix)


def _day(text: str) -> date:
    if text == "today":
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise usage(f"--day cannot be {text!r}.", "use a day such as 2026-01-31, or today") from None


def _row(entry: Entry) -> tuple[Cell, ...]:
    good = entry.status == "READY"
    pixels = f"{entry.width}×{entry.height}" if entry.width and entry.height else "-"
    when = entry.uploaded_at[:19].replace("T", " ").rstrip("Z")
    return (
        Span(entry.status, "good" if good else "bad"),
        Span(when, "dim"),
        pixels,
        entry.format or "-",
        entry.user,
        entry.image_key,
    )
