"""`imgpipe reprocess`: make the renditions of images again."""

from __future__ import annotations

import itertools
import shlex
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Span
from imgpipe.errors import ExitStatus, ImgpipeError, usage
from imgpipe.hints import typed
from imgpipe.words import counted

if TYPE_CHECKING:
    from image_pipeline.record import ImageRecord
    from imgpipe.aws import Clients
    from imgpipe.reprocess import Image, Reprocessing, Result
    from imgpipe.stack.names import StackOutputs

EXAMPLES = """
imgpipe reprocess photo.jpg
imgpipe reprocess --missing 2048-webp
imgpipe reprocess --failed --dry-run
imgpipe reprocess --all --before 2026-01-31
"""

UNASKED = 100
"""So many images are made again on AWS, where each costs a little, before somebody is asked."""


def reprocess(
    ctx: typer.Context,
    keys: Annotated[list[str] | None, typer.Argument(help="The images' keys.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every image there is.")] = False,
    missing: Annotated[
        str | None, typer.Option(help="Those that lack this rendition and should have it.", metavar="RENDITION")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Those that failed.")] = False,
    before: Annotated[
        str | None, typer.Option(help="Only those last made before 10m, 2h, 7d ago or a time.", metavar="WHEN")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until each has been made.")] = True,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Give up after this many seconds without news.", metavar="SECONDS")
    ] = 60,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, however many there are on AWS.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be made again.")] = False,
) -> None:
    """Make the renditions of images again, from what the bucket holds now.

    For instance after a size was added to imgpipe.toml and deployed with imgpipe up. The old renditions serve until
    the new ones are there, and an upload that comes meanwhile wins. A record goes where its object is gone. At most
    200 images wait in the queue at a time, unless --no-wait sends them all. Exit status 3 when one failed or timed
    out; after Ctrl-C, what was sent is made all the same.
    """
    from imgpipe.reprocess import Reprocessing

    invocation = Invocation.of(ctx)
    console = invocation.console
    if (bool(keys), everything, missing is not None, failed).count(True) != 1:
        raise usage("Name images, or give one of --all, --missing and --failed.", "imgpipe reprocess photo.jpg")
    began = datetime.now(UTC)
    limit = _moment(before, began)
    clients, names = invocation.open()
    images, total = _images(invocation, clients, names, keys, missing, failed, limit)
    if dry_run:
        _list(invocation, images)
        return
    if invocation.config.target == "aws" and not yes:
        images = _asked(invocation, images)
    work = Reprocessing(clients, names, wait=wait, timeout=timeout)
    counts: Counter[str] = Counter()
    shown: list[dict[str, Any]] = []
    try:
        with console.bar("Reprocessing", total) as progress:
            for result in work.results(images, progress):
                counts[result.state] += 1
                _draw(invocation, result)
                if console.json:
                    shown.append(_json(result))
    except KeyboardInterrupt:
        done = sum(counts.values())
        said = f"Interrupted: {work.sent} sent, {done} done. What was sent is made all the same."
        hint = _again(invocation, keys, everything, missing, before or began.strftime("%Y-%m-%dT%H:%M:%SZ"))
        raise ImgpipeError("interrupted", said, hint, ExitStatus.INTERRUPTED) from None
    _finish(invocation, work, counts, shown)


def _images(
    invocation: Invocation,
    clients: Clients,
    names: StackOutputs,
    keys: list[str] | None,
    missing: str | None,
    failed: bool,
    before: datetime | None,
) -> tuple[Iterator[Image | None], int]:
    """The images that the options choose, read as they are asked for, and about how many have to be looked at."""
    from imgpipe import catalog
    from imgpipe import reprocess as core

    if keys:
        if not all(keys):
            raise usage("A key has at least one character.", "imgpipe ls")
        found, unknown = core.named(clients, names, keys)
        if unknown:
            from imgpipe.commands.missing import missing as no_such_image

            # All or nothing: a mistyped name is found before anything is made.
            raise no_such_image(invocation, clients, names, unknown[0])
        return iter(found), len(found)

    def early(record: ImageRecord) -> bool:
        return before is None or datetime.fromisoformat(record.processed_at) < before

    if failed:
        return core.chosen(catalog.failed_rows(clients, names.table), early), catalog.count_failed(clients, names.table)
    lacks = core.lacking(_parameters(invocation, clients), missing) if missing is not None else None
    rows = catalog.every_row(clients, names.table)
    images = core.chosen(rows, lambda record: early(record) and (lacks is None or lacks(record)))
    return images, catalog.count(clients, names.table)


def _parameters(invocation: Invocation, clients: Clients) -> dict[str, str]:
    from imgpipe.stack.deploy import describe

    view = describe(clients, invocation.config.stage)
    return dict(view.parameters) if view else {}


def _moment(text: str | None, now: datetime) -> datetime | None:
    from imgpipe.logs import parse_since

    return parse_since(text, now, "--before") if text else None


def _list(invocation: Invocation, images: Iterator[Image | None]) -> None:
    console = invocation.console
    keys: list[dict[str, str]] = []
    listed = 0
    for image in filter(None, images):
        listed += 1
        console.line(image.key)
        if console.json:
            keys.append({"image_key": image.key})
    if console.json:
        console.emit({"images": keys, "summary": dict.fromkeys(("sent", "ready", "failed", "timed_out"), 0)})
    console.note(f"{counted(listed, 'image')} would be made again; nothing was sent.")


def _asked(invocation: Invocation, images: Iterator[Image | None]) -> Iterator[Image | None]:
    """The same images, once somebody has agreed where there are more than UNASKED."""
    first = list(itertools.islice(filter(None, images), UNASKED + 1))
    if len(first) > UNASKED:
        place = f"{invocation.config.region}, stage {invocation.config.stage}"
        invocation.agree(f"Make more than {UNASKED} images again on AWS ({place})?", "Nothing was sent.")
    return itertools.chain(first, images)


def _draw(invocation: Invocation, result: Result) -> None:
    if result.record is not None:
        from imgpipe.commands.upload import draw_outcome

        draw_outcome(invocation.console, result.record)
        return
    style = {"sent": "good", "deleted": "warn"}.get(result.state, "bad")
    said = f": {result.error}" if result.error else ""
    invocation.console.line(Span(f"{result.state.replace('_', ' ').upper():<9}", style), " ", result.key, said)


def _json(result: Result) -> dict[str, Any]:
    if result.record is not None:
        return result.record.to_json()
    return {"image_key": result.key, **({"error": result.error} if result.error else {})}


def _again(invocation: Invocation, keys: list[str] | None, everything: bool, missing: str | None, before: str) -> str:
    """The command that goes on. Of --all, only those are left that were not made since the first one began."""
    if everything:
        return invocation.command(f"reprocess --all --before {shlex.quote(before)}")
    if missing is not None:
        return invocation.command(f"reprocess --missing {shlex.quote(missing)}")
    return invocation.command(f"reprocess {typed(*keys) if keys else '--failed'}")


def _finish(invocation: Invocation, work: Reprocessing, counts: Counter[str], shown: list[dict[str, Any]]) -> None:
    console = invocation.console
    failed = counts["failed"] + counts["not_sent"]
    summary = {"sent": work.sent, "ready": counts["ready"], "failed": failed, "timed_out": counts["timed_out"]}
    if console.json:
        console.emit({"images": shown, "summary": summary})
    elif not counts:
        console.note("Nothing to do: no image is to be made again.")
    elif counts.total() > 1:
        said = [f"{count} {state.replace('_', ' ')}" for state, count in counts.items()]
        console.note(Span(", ".join(said), "strong"))
    if work.unfinished:
        console.note("Given up there: the same command goes on with the rest, which was not sent.")
    if summary["timed_out"]:
        console.note("What timed out may still be in the queue: ", Span(invocation.command("status"), "name"))
    if failed or summary["timed_out"]:
        raise typer.Exit(ExitStatus.INCOMPLETE)
