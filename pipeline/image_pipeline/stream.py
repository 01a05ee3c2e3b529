"""One file's bytes while they arrive: hashed as they pass, and kept for as long as somebody may need them again."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from time import perf_counter

from image_pipeline.faults import TransientError

BLOCK = 131_072
"""Bytes that are read at a time: decoding the last block is all that is left to do when its bytes have come."""


class Arriving:
    """A file of `size` bytes, as a decoder reads it: from its beginning to its end.

    `source(n)` returns at least one and at most `n` of the next bytes, waiting for them, and none at the end. Where it
    raises, or returns fewer or more than `size` in all, reading raises TransientError: the file is as it was, it only
    did not arrive. `waited` is the time spent on waiting for bytes and hashing them, in seconds.
    """

    def __init__(self, source: Callable[[int], bytes], size: int) -> None:
        self.size = size
        self.waited = 0.0
        self._source = source
        self._head = b""  # what was looked at before it was read
        self._passed: list[bytes] = []
        self._came = 0
        self._hash = sha256()

    def head(self, least: int) -> bytes:
        """The first bytes, at least so many of them where the file has as many; they are still to be read."""
        blocks = [self._head]
        while self._came < least and (block := self._next(least - self._came)):
            blocks.append(block)
        self._head = b"".join(blocks)
        return self._head

    def read(self, size: int = BLOCK) -> bytes:
        """The next bytes: what was looked at in one piece, then at most `size` at a time; none at the end."""
        if self._head:
            block, self._head = self._head, b""
        else:
            block = self._next(size)
        self._passed.append(block)
        return block

    def seek(self, position: int) -> None:
        """For decoders, which go to the beginning before they begin; there is no other place to go to."""
        if position or self._passed:
            raise ValueError("bytes can be read once")

    def last_read(self) -> bytes:
        """The block that was read last, behind the byte before it."""
        return b"".join((*(one[-1:] for one in self._passed[-2:-1]), *self._passed[-1:]))

    def whole(self) -> bytes:
        """All bytes, whether they were read or not."""
        file = BytesIO()
        for block in (*self._passed, self._head):
            file.write(block)
        while block := self._next(1 << 20):
            file.write(block)
        self._passed.clear()
        return file.getvalue()  # the buffer itself, no copy of it

    def finish(self) -> None:
        """Let the rest pass; what was read is not needed any more."""
        self._passed.clear()
        while self._next(BLOCK):
            pass

    @property
    def sha256(self) -> str:
        """Of what has come so far, in hexadecimal."""
        return self._hash.hexdigest()

    def _next(self, size: int) -> bytes:
        started = perf_counter()
        try:
            block = self._source(size)
            self._hash.update(block)
        except TransientError:
            raise
        except Exception as error:
            # To whoever decodes, any other exception would say that the file is damaged.
            raise TransientError(f"Reading the object failed: {type(error).__name__}") from error
        finally:
            self.waited += perf_counter() - started
        self._came += len(block)
        if self._came > self.size or (not block and self._came < self.size):
            raise TransientError(f"Reading the object failed: {self._came} of {self.size} bytes came")
        return block
