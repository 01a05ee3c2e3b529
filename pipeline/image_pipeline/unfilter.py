"""The filtered rows of a PNG to pixels, by libspng, whose SIMD code takes a third of the time of Pillow's.

libspng comes in the wheel of pyspng, whose Python side is not used: it is called through ctypes, and only where it
passes a test when the first PNG comes. It never sees a stranger's file: what it gets is a PNG that is written here, of
rows that were unpacked and counted before, so that filters are all that is left for it to judge.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from PIL import Image

from image_pipeline.buffers import BYTES, buffer_of, image_over

BLOCK = 65_535
"""Bytes of a stored block at most."""

_BLOCK_HEAD = 5
"""Bytes before its own: its kind, its length, and that length inverted."""

_HEAD = 43
"""Bytes of a file before the first block: signature, IHDR, the head of IDAT, the head of zlib's stream."""

_IGNORE_ADLER, _CRC_USE = 1, 2  # SPNG_CTX_IGNORE_ADLER32, SPNG_CRC_USE
_AS_THEY_ARE = 256
"""SPNG_FMT_PNG: the pixels as the file has them. Pillow widens RGB to four bytes in half of libspng's time."""

MODES = {"L": 0, "RGB": 2, "RGBA": 6}
"""What comes out, a byte for each letter, and PNG's colour type of it."""

_ROWS = bytes.fromhex("00 10f07f 8020c0 01 05fb33 f01107 02 407fff 018010 03 22cc44 90fe31 04 0780f9 6133d5")
"""Two pixels of RGB in five rows, one for each filter, and what they are without."""
_PIXELS = bytes.fromhex("10f07f8020c0 05fb33f50c3a 457a32f68c4a 44095d2d4884 4b89568ebc59")


class FilterError(Exception):
    """Rows that cannot be unfiltered."""


def stored(piece: bytes) -> Iterator[bytes]:
    """Bytes as blocks of a deflate stream that are not packed."""
    for start in range(0, len(piece), BLOCK):
        block = piece[start : start + BLOCK]
        yield _block_head(len(block))
        yield block


def _block_head(length: int) -> bytes:
    return struct.pack("<BHH", 0, length, length ^ 0xFFFF)


class Bands:
    """The pixels of one picture from its filtered rows, band after band, in memory that all bands share.

    `most` are the rows of the largest band; the mode is L, RGB or RGBA.
    """

    def __init__(self, library: Any, width: int, most: int, mode: str) -> None:
        self._library, self._width, self._mode = library, width, mode
        self._row = width * len(mode)
        self._above = bytes(self._row)
        stream = (most + 1) * (1 + self._row)
        self._file = buffer_of(_HEAD + stream + _BLOCK_HEAD * (stream // BLOCK + 1) + 4)
        self._pixels = buffer_of((most + 1) * self._row)
        self._made = buffer_of(most * width * BYTES[mode])

    def band(self, count: int, rows: Iterable[bytes]) -> Image.Image:
        """The next `count` rows, `most` at most, as a picture that is overwritten when the next band is asked for.

        `rows` are their bytes, each row behind the number of its filter, in pieces of any size. Raises FilterError
        where they are too few or too many, or there is no such filter.
        """
        length = self._write(count, rows)
        file, pixels = ((ctypes.c_char * len(one)).from_buffer(one) for one in (self._file, self._pixels))
        context = self._library.spng_ctx_new(_IGNORE_ADLER)
        try:
            self._library.spng_set_crc_action(context, _CRC_USE, _CRC_USE)
            self._library.spng_set_png_buffer(context, file, length)
            status = self._library.spng_decode_image(context, pixels, len(self._pixels), _AS_THEY_ARE, 0)
        finally:
            self._library.spng_ctx_free(context)
        if status:
            raise FilterError(f"libspng ended with status {status}.")
        made = memoryview(self._pixels)[self._row : (count + 1) * self._row]
        self._above = bytes(made[-self._row :])
        image = image_over(self._made, (self._width, count), self._mode)
        image.frombytes(made)
        return image

    def _write(self, count: int, rows: Iterable[bytes]) -> int:
        """The PNG that libspng gets, of the row above and of `rows`: how long it is.

        None of the sums in it is right, for none is looked at.
        """
        size = (count + 1) * (1 + self._row)
        starts = range(0, size, BLOCK)
        struct.pack_into(
            *(">8sI4sIIBB7xI4s2s", self._file, 0, b"\x89PNG\r\n\x1a\n", 13, b"IHDR", self._width, count + 1, 8),
            *(MODES[self._mode], 2 + size + _BLOCK_HEAD * len(starts), b"IDAT", b"\x78\x01"),
        )
        for number, start in enumerate(starts):
            place = _HEAD + start + _BLOCK_HEAD * number
            self._file[place : place + _BLOCK_HEAD] = _block_head(min(BLOCK, size - start))
        at = 0
        for piece in chain((b"\0", self._above), rows):
            if at + len(piece) > size:
                raise FilterError("There are more rows than were asked for.")
            left = memoryview(piece)
            while left:
                blocks, within = divmod(at, BLOCK)
                part = left[: BLOCK - within]
                place = _HEAD + at + _BLOCK_HEAD * (blocks + 1)
                self._file[place : place + len(part)] = part
                at, left = at + len(part), left[len(part) :]
        if at < size:
            raise FilterError("Rows are missing.")
        end = _HEAD + size + _BLOCK_HEAD * len(starts)
        self._file[end : end + 4] = bytes(4)
        return end + 4


@lru_cache(maxsize=1)
def libspng() -> Any:
    """The library as pyspng's wheel for this machine has it, or None where there is none that passes the test."""
    spec = find_spec("pyspng")  # found and not imported, for that would ask for numpy
    found = [path for folder in (spec and spec.submodule_search_locations) or () for path in Path(folder).glob("*.so")]
    if len(found) != 1:
        return None
    try:
        library = ctypes.CDLL(str(found[0]))
        library.spng_ctx_new.restype = ctypes.c_void_p
        library.spng_ctx_new.argtypes = (ctypes.c_int,)
        library.spng_ctx_free.restype = None
        library.spng_ctx_free.argtypes = (ctypes.c_void_p,)
        library.spng_set_crc_action.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
        library.spng_set_png_buffer.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        library.spng_decode_image.argtypes = (
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t),
            *(ctypes.c_int, ctypes.c_int),
        )
        image = Bands(library, 2, 5, "RGB").band(5, (_ROWS,))
    except (OSError, AttributeError, FilterError):
        return None
    return library if image.tobytes() == _PIXELS else None
