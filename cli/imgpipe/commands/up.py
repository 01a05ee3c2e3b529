"""`imgpipe up`: start the target and make the stack what the template says."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Span

if TYPE_CHECKING:
    from imgpipe.stack.deploy import Deployment

EXAMPLES = """
imgpipe up
imgpipe up --stage test
imgpipe up --json | jq -r .outputs.input_bucket
"""

_SHOWN = 12


def up(ctx: typer.Context) -> None:
    """Start the pipeline, or bring it up to date.

    A pipeline that is up and unchanged is left alone. What to make of each image comes from imgpipe.toml.
    """
    from imgpipe.aws import Clients
    from imgpipe.stack.bundle import source_bundle
    from imgpipe.stack.deploy import deploy, local_parameters

    invocation = Invocation.of(ctx)
    config = invocation.config
    started = time.monotonic()
    stood = invocation.stands()
    with invocation.console.steps() as progress:
        clients = Clients(invocation.target.start(progress))
        local = local_parameters() if config.target != "aws" else {}
        done = deploy(clients, config.stage, source_bundle(), {**local, **config.parameters}, progress)
    seconds = time.monotonic() - started
    endpoint = clients.connection.endpoint_url
    if invocation.console.json:
        changes = [asdict(change) for change in done.changes]
        document = {"outcome": done.outcome, "endpoint": endpoint, "region": clients.connection.region}
        invocation.console.emit(
            {**document, "outputs": asdict(done.outputs), "changes": changes, "seconds": round(seconds, 1)}
        )
        return
    _draw(invocation, done, endpoint, seconds, stood)


def _draw(invocation: Invocation, done: Deployment, endpoint: str | None, seconds: float, stood: bool) -> None:
    console = invocation.console
    console.line(Span(_headline(done, stood), "good"), Span(f"  {seconds:.1f} s", "dim"))
    if done.outcome == "updated":
        for change in done.changes[:_SHOWN]:
            kept = Span("  replaced", "warn") if change.replaced else ""
            console.line(f"  {change.action.lower():<7} {change.logical_id}", kept)
        if (more := len(done.changes) - _SHOWN) > 0:
            console.line(f"  and {more} more")
    console.facts(
        [
            ("endpoint", endpoint or f"AWS {invocation.config.region}"),
            ("put images in", f"s3://{done.outputs.input_bucket}"),
        ]
    )
    console.hint(f"Next: {invocation.command('upload --sample')}")


def _headline(done: Deployment, stood: bool) -> str:
    if done.outcome == "unchanged":
        return "Nothing to do: already up." if stood else "Up again: nothing had changed."
    count = f"{len(done.changes)} resource{'s' * (len(done.changes) != 1)}"
    return f"Up: created {count}." if done.outcome == "created" else f"Up: updated {count}."
