"""`imgpipe status`: how the pipeline is doing, on one page."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Cell, Span
from imgpipe.errors import not_up

if TYPE_CHECKING:
    from imgpipe.status import Report

EXAMPLES = """
imgpipe status
imgpipe status --json | jq .queues
watch -n 2 imgpipe status
"""


def status(ctx: typer.Context) -> None:
    """Show how the pipeline is doing: stack, queues, images, alarms, the last failure.

    Exit status 4 when nothing is up.
    """
    from imgpipe.stack.deploy import describe
    from imgpipe.status import report

    invocation = Invocation.of(ctx)
    clients = invocation.clients()
    view = describe(clients, invocation.config.stage)
    if view is None:
        raise not_up(f"There is no stack for the stage {invocation.config.stage}.", invocation.command("up"))
    found = report(clients, invocation.config.stage, view)
    if invocation.console.json:
        invocation.console.emit(asdict(found))
        return
    invocation.console.facts(_facts(found))
    if found.queues is not None and found.queues.dead:
        invocation.console.hint(f"Dead letters: {invocation.command('failures')}")
    elif found.last_failure is not None:
        invocation.console.hint(f"Failed images: {invocation.command('ls --failed')}")


def _facts(found: Report) -> list[tuple[str, Cell]]:
    healthy = found.state.endswith("_COMPLETE") and "ROLLBACK" not in found.state
    alarms: Cell = Span(", ".join(found.alarms), "bad") if found.alarms else Span("none", "good")
    return [
        ("target", (Span(found.target, "strong"), f"  {found.endpoint or 'AWS'}")),
        ("account", f"{found.account}  {found.region}"),
        ("stack", (found.stack, "  ", Span(found.state, "good" if healthy else "bad"))),
        ("queue", _queues(found)),
        ("images", _images(found)),
        ("alarms", alarms),
        ("last failure", _failure(found)),
    ]


def _queues(found: Report) -> Cell:
    if found.queues is None:
        return ""
    queues = found.queues
    dead = Span(f"{queues.dead} dead-lettered", "bad" if queues.dead else "dim")
    return (f"{queues.waiting} waiting, {queues.in_flight} in work, ", dead)


def _images(found: Report) -> Cell:
    if found.images is None:
        return ""
    about = "about " if found.images.approximate else ""
    failed = Span(f"{found.images.failed} failed", "bad" if found.images.failed else "dim")
    return (f"{about}{found.images.ready} ready, ", failed)


def _failure(found: Report) -> Cell:
    if (last := found.last_failure) is None:
        return Span("none", "good") if found.images is not None else ""
    return (Span(last.code, "bad"), f"  {last.image_key}  ", Span(last.at, "dim"))
