"""`imgpipe meta`: everything known about one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Cell, Console, Span

if TYPE_CHECKING:
    from image_pipeline.record import ImageRecord, Output

EXAMPLES = """
imgpipe meta photo.jpg
imgpipe meta photo.jpg --json
imgpipe meta photo.jpg --json | jq '.renditions[].uri'
"""


def meta(ctx: typer.Context, key: Annotated[str, typer.Argument(help="The image's key.")]) -> None:
    """Show everything known about one image.

    With --json, exactly its record in the table.
    """
    from imgpipe import catalog
    from imgpipe.stack.names import table_name

    invocation = Invocation.of(ctx)
    clients = invocation.clients()
    with invocation.reading():
        record = catalog.row(clients, table_name(invocation.config.stage), key)
    if record is None:
        from imgpipe.commands.missing import missing

        raise missing(invocation, *invocation.open(), key)
    if invocation.console.json:
        invocation.console.emit(record.to_json())
    else:
        draw(invocation.console, record)


def draw(console: Console, record: ImageRecord) -> None:
    """The record for people."""
    from imgpipe.advice import ADVICE

    good = record.failure is None
    console.line(Span(record.image_key, "strong"), "  ", Span(record.status, "good" if good else "bad"))
    if record.failure is not None:
        console.facts(
            [
                ("code", record.failure.code),
                ("reason", record.failure.reason),
                ("what to do", ADVICE[record.failure.code]),
            ],
            "Failure",
        )
    console.facts(_picture(record), "Picture")
    console.facts(_origin(record), "Upload")
    _renditions(console, record)
    console.facts([(name, str(value)) for name, value in record.exif.items()], "EXIF")
    if record.notes:
        console.line()
        console.line(Span("Notes", "strong"))
        for note in record.notes:
            console.line("  ", note)
    timings = "  ".join(f"{name} {ms} ms" for name, ms in record.timings_ms.items())
    processing: list[tuple[str, Cell]] = [("timings", timings)]
    if console.verbose:
        processing += [("recipe", record.recipe), ("revision", record.revision), ("request", record.request_id)]
    console.facts([("finished", record.processed_at), *processing], "Processing")


def size(count: int | None) -> str:
    """A number of bytes for people, in powers of 1000."""
    if count is None:
        return ""
    if count < 1000:
        return f"{count} B"
    power = min(3, (len(str(count)) - 1) // 3)
    amount, unit = count / 1000**power, ("kB", "MB", "GB")[power - 1]
    return f"{amount:.1f} {unit}" if amount < 99.5 else f"{amount:.0f} {unit}"


def _picture(record: ImageRecord) -> list[tuple[str, Cell]]:
    pixels = f"{record.width} × {record.height}" if record.width and record.height else ""
    millions = f"  ({record.width * record.height / 1e6:.1f} MP)" if record.width and record.height else ""
    frames = str(record.frames) if (record.frames or 1) > 1 else ""
    return [
        ("size", (pixels, Span(millions, "dim"))),
        ("format", " ".join(filter(None, (record.format, record.mode)))),
        ("frames", frames),
        ("colour", record.dominant_colour or ""),
        ("sha256", record.sha256 or ""),
    ]


def _origin(record: ImageRecord) -> list[tuple[str, Cell]]:
    return [
        ("by", record.user),
        ("at", record.uploaded_at),
        ("bytes", size(record.source.bytes)),
        ("where", record.source.uri),
        ("version", record.source.version_id or ""),
    ]


def _renditions(console: Console, record: ImageRecord) -> None:
    if not record.outputs:
        return
    console.line()
    console.line(Span("Renditions", "strong"))

    def row(output: Output) -> tuple[Cell, ...]:
        pixels = f"{output.width}×{output.height}"
        name = f"{output.name} (thumbnail)" if output is record.thumbnail else output.name
        shown: tuple[Cell, ...] = (Span(name, "name"), pixels, size(output.bytes), output.format)
        return shown if console.terminal else (*shown, output.uri)

    console.table(("name", "size", "bytes", "format"), [row(one) for one in record.outputs], indent=2)
    if console.terminal:
        # Whole addresses would be cut in two by most windows; they differ in their last part only.
        for folder in dict.fromkeys(output.uri.rpartition("/")[0] for output in record.outputs):
            console.line("  ", Span(f"{folder}/", "dim"))
