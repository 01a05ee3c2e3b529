"""`imgpipe why`: the story of one image."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Console, Span
from imgpipe.errors import ExitStatus, usage
from imgpipe.hints import reaching

if TYPE_CHECKING:
    from imgpipe.why import Story

EXAMPLES = """
imgpipe why photo.jpg
imgpipe why photo.jpg --since 7d
imgpipe why photo.jpg --json | jq -r .next
"""

_STYLES = {"ready": "good", "failed": "bad", "dead_lettered": "bad", "lost": "bad", "unknown": "bad"}


def why(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="The image's key.")],
    since: Annotated[str, typer.Option(help="Read the log from 10m, 2h, 7d ago or a time.", metavar="WHEN")] = "1d",
) -> None:
    """Tell the story of one image: when it came, what was tried and decided, how it stands, what to do next.

    It is read from the bucket, the record, the log and the dead letters; nothing is changed. Of an image that was
    decided before --since, the log is read around that time. Exit status 1 where nobody has heard of the key.
    """
    from imgpipe import catalog
    from imgpipe.commands.missing import guess
    from imgpipe.evidence import gather
    from imgpipe.logs import parse_since
    from imgpipe.why import tell

    invocation = Invocation.of(ctx)
    if not key:
        raise usage("A key has at least one character.", invocation.command("ls"))
    now = datetime.now(UTC)
    begin = parse_since(since, now)
    clients, names = invocation.open()
    facts = gather(clients, names, key, now, begin)
    story = tell(facts)
    if story.state == "unknown":
        newest = catalog.page(clients, names.table, catalog.Query(), 200).entries
        story = tell(replace(facts, close=guess(key, (entry.image_key for entry in newest))))
    story = replace(story, next=reaching(invocation.config.given, story.next))
    if invocation.console.json:
        invocation.console.emit(story.to_json())
    else:
        _draw(invocation.console, story)
    if story.state == "unknown":
        raise typer.Exit(ExitStatus.FAILED)


def _draw(console: Console, story: Story) -> None:
    if story.moments:
        console.line(Span(story.key, "strong"))
    for moment in story.moments:
        console.line(Span(f"{moment.at:%Y-%m-%d %H:%M:%S}", "dim"), "  ", moment.what)
    if story.moments:
        console.line()
    console.line(Span("now   ", "dim"), Span(story.now, _STYLES.get(story.state, "warn")))
    if story.next:
        console.line(Span("next  ", "dim"), Span(story.next, "name"))
