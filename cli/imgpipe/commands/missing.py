"""What to say about a key that has no row: still in the queue, mistyped, or simply not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgpipe.errors import ImgpipeError

if TYPE_CHECKING:
    from imgpipe.aws import Clients
    from imgpipe.commands.base import Invocation
    from imgpipe.stack.names import StackOutputs


def missing(invocation: Invocation, clients: Clients, names: StackOutputs, key: str) -> ImgpipeError:
    """The error for a key without a row; it names a close key among the newest ones where there is one."""
    from difflib import get_close_matches

    from imgpipe import catalog, images

    if images.serves(clients, names.input_bucket, key):
        return ImgpipeError(
            "pending",
            f"{key} is uploaded, but has no record yet: it is still in the queue.",
            invocation.command("status"),
        )
    newest = catalog.page(clients, names.table, catalog.Query(), 200).entries
    close = get_close_matches(key, [entry.image_key for entry in newest], n=1)
    guess = f" Did you mean {close[0]}?" if close else ""
    return ImgpipeError("unknown_key", f"There is no image {key}.{guess}", invocation.command("ls"))
