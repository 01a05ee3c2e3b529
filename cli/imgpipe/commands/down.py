"""`imgpipe down`: delete the pipeline and everything in it, or only stop the engine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Span
from imgpipe.errors import ExitStatus, ImgpipeError

if TYPE_CHECKING:
    from imgpipe.aws import Clients
    from imgpipe.stack.teardown import Inventory

EXAMPLES = """
imgpipe down
imgpipe down --yes
imgpipe down --keep-data
"""


def down(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Only stop the engine; up goes on from here.")] = False,
) -> None:
    """Delete the pipeline and everything in it.

    It counts what would be lost, asks, deletes, and looks whether anything is left.
    """
    invocation = Invocation.of(ctx)
    if keep_data:
        _stop(invocation)
        return
    try:
        clients = invocation.clients()
    except ImgpipeError as error:
        if error.code != "not_up" or invocation.config.target != "local":
            raise
        _remove_leftovers(invocation, yes)
        return
    _delete(invocation, clients, yes)


def _stop(invocation: Invocation) -> None:
    if invocation.config.target != "local":
        raise ImgpipeError(
            "usage", f"There is no engine to stop on {invocation.config.target}.", status=ExitStatus.USAGE
        )
    stopped = invocation.target.stop()
    if invocation.console.json:
        invocation.console.emit({"outcome": "stopped" if stopped else "not_up"})
    kept = f"Stopped; everything is kept for the next {invocation.command('up')}."
    said = kept if stopped else "Nothing was running."
    invocation.console.line(Span(said, "good"))


def _remove_leftovers(invocation: Invocation, yes: bool) -> None:
    """Nothing runs, so nothing is started to delete: what is left is a folder."""
    folder = invocation.config.home / invocation.config.stage
    there = folder.exists()
    if there:
        _ask(invocation, f"The engine is not running. Delete what it kept in {folder}?", yes)
        invocation.target.destroy()
    if invocation.console.json:
        invocation.console.emit({"outcome": "removed" if there else "not_up", "deleted": None, "left": []})
    said = f"Nothing was running; {folder} is removed." if there else "Nothing is up, and nothing is left."
    invocation.console.line(Span(said, "good"))


def _delete(invocation: Invocation, clients: Clients, yes: bool) -> None:
    from imgpipe.stack.names import Names, identity
    from imgpipe.stack.teardown import inventory, teardown

    console, stage = invocation.console, invocation.config.stage
    # By names, as the deleting goes: a stack that somebody deleted by hand has left its buckets and its table.
    counted = inventory(clients, Names.of(stage, identity(clients).account, clients.connection.region))
    _ask(invocation, f"Delete the stage {stage} with {_words(counted)}?", yes)
    with console.steps() as progress:
        left = teardown(clients, stage, progress)
        if not left:
            progress("Stopping the engine")
            invocation.target.destroy()
    if console.json:
        outcome = "incomplete" if left else "deleted"
        console.emit({"outcome": outcome, "deleted": asdict(counted), "left": list(left)})
    elif not left:
        console.line(Span("Down.", "good"), f" Deleted {_words(counted)}; nothing is left.")
    else:
        console.line(Span("Not everything could be deleted:", "bad"))
        for one in left:
            console.line("  ", one)
        console.note("Again: ", invocation.command("down"))
    if left:
        raise typer.Exit(ExitStatus.INCOMPLETE)


def _ask(invocation: Invocation, question: str, yes: bool) -> None:
    if yes:
        return
    answer: Any = invocation.console.confirm(question)
    if answer is None:
        hint = invocation.command("down --yes")
        raise ImgpipeError("refused", f"{question} There is nobody to ask.", hint, ExitStatus.REFUSED)
    if not answer:
        raise ImgpipeError("refused", "Nothing was deleted.", status=ExitStatus.REFUSED)


def _words(counted: Inventory) -> str:
    counts = {
        "image": counted.objects,
        "older version": counted.versions,
        "deletion marker": counted.delete_markers,
        "rendition": counted.outputs,
        "record": counted.rows,
        "queued message": counted.queued,
        "dead-lettered message": counted.dead_lettered,
    }
    words = [f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count]
    return ", ".join(words) or "nothing in it"
