"""`imgpipe upload`: send images and show what became of each."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Cell, Console, Span
from imgpipe.errors import ExitStatus, ImgpipeError, usage

if TYPE_CHECKING:
    from image_pipeline.record import ImageRecord
    from imgpipe.images import Result
    from imgpipe.sources import Item

EXAMPLES = """
imgpipe upload photo.jpg
imgpipe upload holiday/ --prefix 2026/
imgpipe upload --sample 24
curl -s https://example.com/cat.png | imgpipe upload - --key cat.png
"""


def upload(
    ctx: typer.Context,
    paths: Annotated[list[str] | None, typer.Argument(help="Files, folders, patterns, or - for stdin.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Send a made-up photo; PATHS is its megapixels.")] = False,
    key: Annotated[str | None, typer.Option(help="The key, for a single image.", metavar="KEY")] = None,
    prefix: Annotated[str, typer.Option(help="Put this before every key, as it is.", metavar="TEXT")] = "",
    user: Annotated[str | None, typer.Option(help="Whose image it is (default: your login).", metavar="NAME")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the record of each image.")] = True,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Give up after this many seconds without news.", metavar="SECONDS")
    ] = 60,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="How many to send at once.", metavar="N")] = 8,
) -> None:
    """Send images and wait for their renditions.

    The key of an image is its file's name, or its path below the folder that was given. Files are sent whatever they
    hold; folders are searched for images. An empty file whose key ends in / is refused: S3 takes it for a folder. Exit
    status 3 when an image failed or timed out.
    """
    from imgpipe.images import Upload

    invocation = Invocation.of(ctx)
    left_out: list[Path] = []
    items = _items(paths or [], sample, key, prefix, left_out)
    if left_out:
        names_of = ", ".join(path.name for path in left_out[:3]) + (", …" if len(left_out) > 3 else "")
        what = "file is no image and is" if len(left_out) == 1 else "files are no images and are"
        invocation.console.note(f"{len(left_out)} {what} left out: {names_of}. Name a file to send it all the same.")
    clients, names = invocation.open()
    sending = Upload(
        clients,
        names.input_bucket,
        names.table,
        user=_user(user),
        concurrency=concurrency,
        wait=wait,
        timeout=timeout,
    )
    results: list[Result] = []
    try:
        with invocation.console.bar("Uploading", len(items)) as progress:
            for result in sending.results(items):
                results.append(result)
                _draw(invocation.console, result)
                progress(len(results))
    except KeyboardInterrupt:
        sent = f"Interrupted: {sending.sent} of {len(items)} sent, {len(results)} done."
        raise ImgpipeError("interrupted", sent, invocation.command("ls"), ExitStatus.INTERRUPTED) from None
    _finish(invocation, results)


def _items(paths: list[str], sample: bool, key: str | None, prefix: str, left_out: list[Path]) -> list[Item]:
    import sys

    from imgpipe.sources import Item, check_key, collect

    if not sample:
        if not paths:
            raise usage("There is nothing to upload.", "imgpipe upload photo.jpg, or imgpipe upload --sample")
        return collect(paths, key=key, prefix=prefix, stdin=sys.stdin.buffer.read, left_out=left_out.append)
    try:
        (size,) = [float(path) for path in paths] or [12.0]
    except ValueError:
        raise usage("--sample takes a number of megapixels, and no files.", "imgpipe upload --sample 24") from None
    if not 0.01 <= size <= 200:
        raise usage(f"A sample has 0.01 to 200 megapixels, not {size:g}.", "imgpipe upload --sample 12")
    if key is not None:
        check_key(key)
    name = prefix + (key or f"sample-{size:g}mp.jpg")
    check_key(name)
    from imgpipe.sample import sample_photo

    return [Item(name, "--sample", "image/jpeg", sample_photo(size))]


def _user(name: str | None) -> str:
    if name is None:
        import getpass

        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return "unknown"
    if len(name.encode()) > 256:
        raise usage("A user has at most 256 bytes.", "imgpipe upload photo.jpg --user ada")
    return name


def _finish(invocation: Invocation, results: list[Result]) -> None:
    console = invocation.console
    summary = {state: sum(one.state == state for one in results) for state in ("ready", "failed", "timed_out")}
    # What never became a row has failed for whoever asked.
    summary["failed"] += sum(one.state in ("not_sent", "deleted") for one in results)
    if console.json:
        console.emit({"images": [_json(one) for one in results], "summary": summary})
    elif len(results) > 1:
        sent = sum(one.state == "sent" for one in results)
        counts = [f"{count} {name.replace('_', ' ')}" for name, count in {**summary, "sent": sent}.items() if count]
        console.note(Span(", ".join(counts), "strong"))
    if summary["timed_out"]:
        console.note("What timed out may still be in the queue: ", Span(invocation.command("status"), "name"))
    elif len(results) == 1 and results[0].record is not None:
        console.hint(f"Next: {invocation.command('meta')} {shlex.quote(results[0].item.key)}")
    if summary["failed"] or summary["timed_out"]:
        raise typer.Exit(ExitStatus.INCOMPLETE)


def _json(result: Result) -> dict[str, Any]:
    if result.record is not None:
        return result.record.to_json()
    if result.state == "sent":
        return {"source": result.item.source, "image_key": result.item.key, "version_id": result.version_id}
    return {"source": result.item.source, "image_key": result.item.key, "error": result.error}


def _draw(console: Console, result: Result) -> None:
    if result.record is not None:
        draw_outcome(console, result.record)
        return
    style = "good" if result.state == "sent" else "bad"
    said = (": " + result.error) if result.error else ""
    console.line(Span(f"{result.state.replace('_', ' ').upper():<9}", style), " ", result.item.key, said)


def draw_outcome(console: Console, record: ImageRecord) -> None:
    """What became of an image, in one line."""
    details: tuple[Cell, ...]
    if record.failure is not None:
        details = (Span(record.failure.code, "bad"), ": ", record.failure.reason)
    else:
        made = " ".join(output.name for output in record.outputs)
        took = f"  {record.timings_ms['total']} ms" if "total" in record.timings_ms else ""
        details = (f"{record.width}×{record.height}", Span("  → ", "dim"), made, Span(took, "dim"))
    style = "bad" if record.failure else "good"
    console.line(Span(f"{record.status:<9}", style), " ", record.image_key, "  ", *details)
