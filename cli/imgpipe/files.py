"""Files that are written whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from imgpipe.errors import ImgpipeError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` at the end; after a failure nothing has changed.

    Raises OSError, also where `path` is a device or a pipe, whose place nothing may take.
    """
    if path.exists() and not path.is_file():
        raise OSError(None, "Not a regular file")
    part = path.with_name(f".{secrets.token_hex(6)}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> ImgpipeError:
    """What a command that writes to `-o` says of a place where it cannot."""
    return ImgpipeError("cannot_write", f"{path} cannot be written: {error.strerror}.", "choose another -o")
