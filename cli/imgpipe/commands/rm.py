"""`imgpipe rm`: delete images, and with them everything made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Span
from imgpipe.errors import ExitStatus, ImgpipeError, usage
from imgpipe.words import counted

if TYPE_CHECKING:
    from imgpipe.aws import Clients
    from imgpipe.stack.names import StackOutputs

EXAMPLES = """
imgpipe rm photo.jpg
imgpipe rm photo.jpg scan.png --yes
imgpipe rm --prefix holiday/
"""


def rm(
    ctx: typer.Context,
    keys: Annotated[list[str] | None, typer.Argument(help="The images' keys.")] = None,
    prefix: Annotated[str | None, typer.Option(help="All keys that begin so.", metavar="TEXT")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until everything is gone.")] = True,
    timeout: Annotated[float, typer.Option(min=0.1, help="How long to wait.", metavar="SECONDS")] = 60,
) -> None:
    """Delete images and everything made of them.

    One image goes at once; several, or a prefix, only after a question. The bucket keeps old versions for a while.
    """
    from imgpipe import images

    invocation = Invocation.of(ctx)
    if bool(keys) == (prefix is not None):
        raise usage("Name the images to delete, or a prefix.", "imgpipe rm photo.jpg")
    clients, names = invocation.open()
    doomed = _doomed(invocation, clients, names, list(dict.fromkeys(keys or [])), prefix)
    if not yes and (len(doomed) > 1 or prefix is not None):
        invocation.agree(f"Delete {counted(len(doomed), 'image')}?", "Nothing was deleted.")
    images.remove(clients, names.input_bucket, doomed)
    left = images.wait_until_gone(clients, names.table, doomed, timeout) if wait else []
    gone = [key for key in doomed if key not in left]
    if invocation.console.json:
        invocation.console.emit({"deleted": gone, "timed_out": left})
    for key in gone:
        invocation.console.line(Span("DELETED  ", "good"), key)
    for key in left:
        invocation.console.line(Span("TIMED OUT", "bad"), " ", key)
    if left:
        status = invocation.command("status")
        invocation.console.note(f"The objects are deleted; their records wait in the queue: {status}")
        raise typer.Exit(ExitStatus.INCOMPLETE)


def _doomed(
    invocation: Invocation, clients: Clients, names: StackOutputs, keys: list[str], prefix: str | None
) -> list[str]:
    from imgpipe import catalog, images

    if prefix is not None:
        if found := images.keys_below(clients, names.input_bucket, prefix):
            return found
        raise ImgpipeError("unknown_key", f"No image begins with {prefix}.", invocation.command("ls"))
    rows = catalog.rows(clients, names.table, keys)
    for key in keys:
        # All or nothing: a mistyped name is found before anything is deleted.
        if key not in rows and not images.serves(clients, names.input_bucket, key):
            from imgpipe.commands.missing import missing

            raise missing(invocation, clients, names, key)
    return keys
