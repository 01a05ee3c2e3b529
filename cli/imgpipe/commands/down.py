"""`imgpipe down`: delete the pipeline and everything in it, or only stop what it runs on."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Span
from imgpipe.errors import ExitStatus, ImgpipeError, usage
from imgpipe.words import counted

if TYPE_CHECKING:
    from imgpipe.aws import Clients
    from imgpipe.stack.teardown import Inventory

EXAMPLES = """
imgpipe down
imgpipe down --yes
imgpipe down --keep-data
imgpipe -t localstack down --stop
"""


def down(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Only stop the engine; up goes on from here.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End LocalStack as well, with all that it holds.")] = False,
) -> None:
    """Delete the pipeline and everything in it.

    It counts what would be lost, asks, deletes, and looks whether anything is left. On AWS it asks for the stage's
    name. LocalStack goes on running unless --stop is given, and is only ended where imgpipe started it.
    """
    invocation = Invocation.of(ctx)
    target = invocation.config.target
    if keep_data:
        _stop(invocation)
        return
    if stop and target == "aws":
        raise usage("There is nothing to stop on aws.", "imgpipe -t aws down")
    try:
        clients = invocation.clients()
    except ImgpipeError as error:
        if error.code != "not_up" or not (target == "local" or stop):
            raise
        if target == "local":
            _remove_leftovers(invocation, yes)
        else:
            _end_localstack(invocation)
        return
    _delete(invocation, clients, yes, stop and target == "localstack")


def _stop(invocation: Invocation) -> None:
    if invocation.config.target == "localstack":
        raise usage("LocalStack keeps nothing when it stops.", "imgpipe -t localstack down --stop deletes and stops")
    if invocation.config.target == "aws":
        raise usage("There is no engine to stop on aws.")
    stopped = invocation.target.stop()
    if invocation.console.json:
        invocation.console.emit({"outcome": "stopped" if stopped else "not_up"})
    kept = f"Stopped; everything is kept for the next {invocation.command('up')}."
    said = kept if stopped else "Nothing was running."
    invocation.console.line(Span(said, "good"))


def _end_localstack(invocation: Invocation) -> None:
    """Nothing answers: what is left to remove are containers that hang or have ended."""
    with invocation.console.steps() as progress:
        progress("Stopping LocalStack")
        stopped = invocation.target.stop()
    if invocation.console.json:
        invocation.console.emit({"outcome": "removed" if stopped else "not_up", "deleted": None, "left": []})
    said = "The containers of LocalStack are removed." if stopped else "Nothing was running."
    invocation.console.line(Span(said, "good"))


def _remove_leftovers(invocation: Invocation, yes: bool) -> None:
    """Nothing runs, so nothing is started to delete: what is left is a folder."""
    folder = invocation.config.home / invocation.config.stage
    there = folder.exists()
    if there:
        if not yes:
            _ask(invocation, f"The engine is not running. Delete what it kept in {folder}?")
        invocation.target.destroy()
    if invocation.console.json:
        invocation.console.emit({"outcome": "removed" if there else "not_up", "deleted": None, "left": []})
    said = f"Nothing was running; {folder} is removed." if there else "Nothing is up, and nothing is left."
    invocation.console.line(Span(said, "good"))


def _delete(invocation: Invocation, clients: Clients, yes: bool, stop: bool) -> None:
    from imgpipe.stack.names import Names, identity
    from imgpipe.stack.teardown import inventory, other_stacks, teardown

    console, stage = invocation.console, invocation.config.stage
    names = Names.of(stage, identity(clients).account, clients.connection.region)
    # By names, as the deleting goes: a stack that somebody deleted by hand has left its buckets and its table.
    there = inventory(clients, names)
    question = f"Delete the stage {stage}{_place(clients)} with {_words(there)}"
    if stop:
        others = other_stacks(clients, names.stack)
        question += ", and stop LocalStack" + (f", which also holds {', '.join(others)}" if others else "")
    if not yes:
        _ask(invocation, f"{question}?")
    stopped = False
    with console.steps() as progress:
        left = teardown(clients, stage, progress)
        if not left:
            invocation.target.destroy()
            if stop:
                progress("Stopping LocalStack")
                stopped = invocation.target.stop()
    if console.json:
        outcome = "incomplete" if left else "deleted"
        console.emit({"outcome": outcome, "deleted": asdict(there), "left": list(left)})
    elif not left:
        console.line(Span("Down.", "good"), f" Deleted {_words(there)}; nothing is left.")
    else:
        console.line(Span("Not everything could be deleted:", "bad"))
        for one in left:
            console.line("  ", one)
        console.note("Again: ", invocation.command("down"))
    if stop and not left and not stopped:
        console.note(f"LocalStack at {clients.connection.endpoint_url} goes on: imgpipe did not start it.")
    if left:
        raise typer.Exit(ExitStatus.INCOMPLETE)


def _place(clients: Clients) -> str:
    """On AWS, whose pipeline that is: a stage of the same name may be in many accounts."""
    from imgpipe.stack.names import identity

    if clients.connection.endpoint_url is not None:
        return ""
    return f" of the account {identity(clients).account} in {clients.connection.region}"


def _ask(invocation: Invocation, question: str) -> None:
    name = invocation.config.stage if invocation.config.target == "aws" else ""
    invocation.agree(question, "Nothing was deleted.", hint=invocation.command("down --yes"), by_name=name)


def _words(there: Inventory) -> str:
    counts = {
        "image": there.objects,
        "older version": there.versions,
        "deletion marker": there.delete_markers,
        "rendition": there.outputs,
        "record": there.rows,
        "queued message": there.queued,
        "dead-lettered message": there.dead_lettered,
    }
    words = [counted(count, name) for name, count in counts.items() if count]
    return ", ".join(words) or "nothing in it"
