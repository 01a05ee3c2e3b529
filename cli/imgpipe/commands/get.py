"""`imgpipe get`: download an image or what was made of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Span
from imgpipe.errors import ImgpipeError, usage
from imgpipe.hints import typed

if TYPE_CHECKING:
    from imgpipe.aws import Clients
    from imgpipe.downloads import Piece
    from imgpipe.stack.names import StackOutputs

EXAMPLES = """
imgpipe get photo.jpg
imgpipe get photo.jpg --rendition 512 -o small.jpg
imgpipe get photo.jpg --all -o pictures/
imgpipe get photo.jpg --rendition thumbnail -o - | file -
"""


def get(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="The image's key.")],
    rendition: Annotated[
        str | None, typer.Option("--rendition", "-r", help="1024, 512, 128, thumbnail, ….", metavar="NAME")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="The original and all renditions.")] = False,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="A file, a folder, or - for stdout.", metavar="PATH")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace files that exist.")] = False,
) -> None:
    """Download an image's original, or what was made of it.

    Files are written to the working directory under a safe name made from the last part of the key.
    """
    from imgpipe import downloads

    invocation = Invocation.of(ctx)
    console = invocation.console
    if rendition and everything:
        raise usage("--rendition and --all do not go together.", "imgpipe get photo.jpg --all")
    if output == "-" and (everything or console.json):
        raise usage("Only one image, and nothing else, can go to stdout.", "imgpipe get photo.jpg -o -")
    if output == "-" and sys.stdout.isatty():
        raise usage("An image is not for the terminal.", "imgpipe get photo.jpg -o - > photo.jpg")
    clients, names = invocation.open()
    pieces = _pieces(invocation, clients, names, key, rendition, everything)
    if output == "-":
        downloads.copy(clients, pieces[0], sys.stdout.buffer)
        return
    paths = downloads.destination(pieces, output)
    if not force:
        downloads.refuse_to_overwrite(paths)
    written = [_write(clients, piece, path) for piece, path in zip(pieces, paths, strict=True)]
    if console.json:
        console.emit({"files": [{"name": n, "path": str(path), "bytes": count} for n, path, count in written]})
        return
    from imgpipe.commands.meta import size

    console.table(("name", "bytes", "file"), [(Span(name, "name"), size(n), str(path)) for name, path, n in written])


def _write(clients: Clients, piece: Piece, path: Path) -> tuple[str, Path, int]:
    from imgpipe.downloads import write
    from imgpipe.files import cannot_write

    try:
        return piece.name, path, write(clients, piece, path)
    except OSError as error:
        raise cannot_write(path, error) from None


def _pieces(
    invocation: Invocation, clients: Clients, names: StackOutputs, key: str, rendition: str | None, everything: bool
) -> list[Piece]:
    from imgpipe import catalog, downloads, images

    record = catalog.row(clients, names.table, key)
    if record is None and (rendition or everything or not images.serves(clients, names.input_bucket, key)):
        from imgpipe.commands.missing import missing

        raise missing(invocation, clients, names, key)
    if record is not None and rendition and rendition != downloads.ORIGINAL:
        if record.failure is not None:
            reason = f"Nothing was made of {key}: {record.failure.reason}"
            raise ImgpipeError("image_failed", reason, invocation.command(f"meta {typed(key)}"))
        return [downloads.rendition(record, rendition)]
    pieces = [downloads.original(names.input_bucket, key, record)]
    if everything and record is not None:
        pieces += downloads.made_of(record)
    return pieces
