"""What `imgpipe failures redrive` and `imgpipe failures purge` say and ask."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from imgpipe.console import Span
from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.hints import typed
from imgpipe.words import counted

if TYPE_CHECKING:
    from imgpipe.aws import Clients
    from imgpipe.commands.base import Invocation
    from imgpipe.stack.names import StackOutputs


def redrive(invocation: Invocation, clients: Clients, names: StackOutputs, keys: Sequence[str]) -> None:
    """Send dead letters and failed images back; exit status 3 when one was not sent or a key is unknown."""
    from imgpipe import catalog
    from imgpipe.queues import depths
    from imgpipe.redrive import Redrive

    console, work = invocation.console, Redrive(clients, names, keys)
    letters = depths(clients, names.dead_letter_queue_url).total
    total = len(keys) or letters + catalog.count_failed(clients, names.table)
    try:
        with console.bar("Sending back", total) as progress:
            work.run(progress)
    except KeyboardInterrupt:
        # A move goes on in SQS; watching it is all that was interrupted.
        goes_on = " SQS goes on moving the dead letters." if work.native else ""
        sent = f"{counted(work.letters, 'dead letter')} and {counted(work.images, 'image')}"
        said = f"Interrupted: {sent} sent back.{goes_on}"
        raise _interrupted(invocation, said, "redrive", keys) from None
    if console.json:
        console.emit(work.to_json())
    elif work.letters or work.images:
        sent = f"{counted(work.letters, 'dead letter')} and {counted(work.images, 'failed image')}"
        console.line(Span("SENT BACK", "good"), "  ", sent)
        console.hint(f"What becomes of them: {invocation.command('status')}, then {invocation.command('failures')}")
    elif not work.missing:
        console.note("Nothing to send back: nothing failed.")
    for key in sorted(work.missing):
        why = invocation.command(f"why {typed(key)}")
        console.note(Span("NOT FOUND", "bad"), "  Nothing failed under ", key, f": {why}")
    if work.still_there:
        console.note(f"{counted(work.still_there, 'message')} could not be deleted, and may be sent once more.")
    if work.not_sent:
        console.note(
            f"{work.not_sent} could not be sent; they are where they were. The same command goes on with them."
        )
    if work.missing or work.not_sent:
        raise typer.Exit(ExitStatus.INCOMPLETE)


def purge(
    invocation: Invocation,
    clients: Clients,
    names: StackOutputs,
    keys: Sequence[str],
    output: Path | None,
    yes: bool,
) -> None:
    """Export dead letters and delete them, after a question."""
    from imgpipe.queues import depths
    from imgpipe.redrive import Purge

    console = invocation.console
    moment = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    path = output or Path(f"imgpipe-{invocation.config.stage}-dead-letters-{moment}.jsonl")
    total = depths(clients, names.dead_letter_queue_url).total
    what = f"the dead letters of {', '.join(keys)}" if keys else counted(total, "dead letter")
    if not yes and total:
        invocation.agree(f"Delete {what}? They are written to {path} first.", "Nothing was deleted.")
    work = Purge(clients, names, path, keys)
    try:
        with console.bar("Deleting", total) as progress:
            work.run(progress)
    except KeyboardInterrupt:
        kept = f" They are in {path}." if work.exported else ""
        said = f"Interrupted: {counted(work.deleted, 'dead letter')} deleted.{kept}"
        raise _interrupted(invocation, said, "purge", keys, output) from None
    if console.json:
        console.emit(work.to_json())
    elif work.exported:
        console.line(Span("DELETED", "good"), f"  {counted(work.deleted, 'dead letter')}, kept in {path}")
    else:
        console.note(f"Nothing to delete: there is no {'such ' if keys else ''}dead letter.")
    if work.exported > work.deleted:
        console.note(f"{work.exported - work.deleted} could not be deleted: they are in the file and in the queue.")
        raise typer.Exit(ExitStatus.INCOMPLETE)


def _interrupted(
    invocation: Invocation, said: str, action: str, keys: Sequence[str], output: Path | None = None
) -> ImgpipeError:
    into = f"-o {shlex.quote(str(output))}" if output else ""
    again = " ".join(filter(None, ("failures", action, into, typed(*keys))))
    return ImgpipeError("interrupted", said, f"{invocation.command(again)} goes on", ExitStatus.INTERRUPTED)
