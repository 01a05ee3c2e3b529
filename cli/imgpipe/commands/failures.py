"""`imgpipe failures`: what failed for good, and the two ways on."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Console, Span
from imgpipe.errors import usage

if TYPE_CHECKING:
    from imgpipe.deadletters import Listing

EXAMPLES = """
imgpipe failures
imgpipe failures redrive
imgpipe failures redrive photo.jpg
imgpipe failures purge -o dead-letters.jsonl
"""


class Action(StrEnum):
    """What to do other than list."""

    REDRIVE = "redrive"
    PURGE = "purge"


def failures(
    ctx: typer.Context,
    action: Annotated[Action | None, typer.Argument(help="Send them back, or export and delete dead letters.")] = None,
    keys: Annotated[
        list[str] | None, typer.Argument(help="These keys or message ids only.", metavar="[KEY]...")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="List at most this many of each.", metavar="N")] = 20,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="With purge: the file to export to.", metavar="FILE")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With purge: do not ask.")] = False,
) -> None:
    """List what failed; send it back, or give it up.

    That is images that were refused (FAILED), and dead letters: messages that failed every receive. redrive sends dead
    letters back to the queue and has failed images made again. purge writes dead letters to a file and deletes them;
    failed images stay until imgpipe rm. In a pipe, each line is kind, time, code, receives, name, reason and excerpt.
    """
    from imgpipe.commands import repair

    invocation = Invocation.of(ctx)
    if not all(keys or ()):
        raise usage("A key has at least one character.", "imgpipe failures")
    if action is not Action.PURGE and (output or yes):
        raise usage("--output and --yes belong to purge.", "imgpipe failures purge")
    clients, names = invocation.open()
    if action is Action.REDRIVE:
        repair.redrive(invocation, clients, names, keys or [])
    elif action is Action.PURGE:
        repair.purge(invocation, clients, names, keys or [], output, yes)
    else:
        from imgpipe.deadletters import listing

        _list(invocation, listing(clients, names, limit))


def _list(invocation: Invocation, found: Listing) -> None:
    """One JSON document; or of each failure a line in a pipe, a few lines on a terminal."""
    console = invocation.console
    if console.json:
        console.emit(found.to_json())
        return
    for one in found.failed:
        _draw(console, "FAILED", one.failed_at, one.code, "-", one.image_key, one.reason)
    for letter in found.letters:
        name, words = letter.image_key or letter.message_id, (letter.reason, letter.excerpt or "")
        _draw(console, "DEAD", letter.sent_at, letter.code, str(letter.receives), name, *words)
    if found.more_failed or found.more_letters:
        console.note(
            f"… and {found.more_failed} more failed, {found.more_letters} more dead letters: --limit shows more."
        )
    elif not found.failed and not found.letters:
        console.note("Nothing failed.")
    if found.failed or found.letters:
        purge = f"; to give dead letters up: {invocation.command('failures purge')}" if found.letters else ""
        console.hint(f"To send them back: {invocation.command('failures redrive')}{purge}")


def _draw(console: Console, kind: str, when: str, code: str, receives: str, name: str, *words: str) -> None:
    if not console.terminal:
        console.table((), [(kind, when, code, receives, name, *words)])
        return
    often = "" if receives == "-" else f"  {receives} receives"
    style = Span(f"{kind:<6}", "bad"), "  ", Span(when, "dim"), "  ", Span(name, "strong"), "  ", Span(code, "warn")
    console.line(*style, often)
    for text in filter(None, words):
        console.line("        ", text)
