"""What to say about a key that has no row: still in the queue, mistyped, or simply not there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from imgpipe.errors import ImgpipeError

if TYPE_CHECKING:
    from imgpipe.aws import Clients
    from imgpipe.commands.base import Invocation
    from imgpipe.stack.names import StackOutputs

_ALIKE = 0.75
"""From which likeness on, 0 to 1, two file names without their suffixes pass for slips of one."""


def missing(invocation: Invocation, clients: Clients, names: StackOutputs, key: str) -> ImgpipeError:
    """The error for a key without a row; it names a close key among the newest ones where there is one."""
    from imgpipe import catalog, images

    served = images.serves(clients, names.input_bucket, key)
    if served and not images.is_folder(key, served):
        return ImgpipeError(
            "pending",
            f"{key} is uploaded, but has no record yet: it is still in the queue.",
            invocation.command("status"),
        )
    if served:
        return ImgpipeError("unknown_key", f"{key} is an empty folder and no image.", invocation.command("ls"))
    newest = catalog.page(clients, names.table, catalog.Query(), 200).entries
    close = guess(key, (entry.image_key for entry in newest))
    meant = f" Did you mean {close}?" if close else ""
    return ImgpipeError("unknown_key", f"There is no image {key}.{meant}", invocation.command("ls"))


def guess(key: str, keys: Iterable[str]) -> str | None:
    """The one of `keys` that was probably meant; None where none resembles `key`.

    What most keys of a pipeline share, folders and suffixes, makes none of them a good guess: the names must be alike.
    """

    def alike(one: str, other: str) -> float:
        return SequenceMatcher(None, one.casefold(), other.casefold()).ratio()

    def stem(of: str) -> str:
        return PurePosixPath(of).stem

    def likeness(one: str) -> tuple[float, float]:
        return alike(stem(key), stem(one)), alike(key, one)

    def is_close(one: str) -> bool:
        names, whole = likeness(one)
        # A folder that was left out makes the whole unlike.
        return one.endswith(f"/{key}") or (names >= _ALIKE and whole >= _ALIKE)

    return max(filter(is_close, keys), key=likeness, default=None)
