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
from mmap import mmap
from pathlib import Path
from typing import Any

from PIL import Image

from image_pipeline.buffers import BYTES, buffer_of, image_over

BLOCK = 65_535
"""Bytes of a stored block at most."""

_IGNORE_ADLER, _CRC_USE = 1, 2  # SPNG_CTX_IGNORE_ADLER32, SPNG_CRC_USE
MODES = {"L": (0, 64), "RGB": (2, 1), "RGBA": (6, 1)}
"""What comes out: PNG's colour type, and the format to decode to, SPNG_FMT_G8 or SPNG_FMT_RGBA8."""

_ROWS = bytes.fromhex("00 10f07f 8020c0 01 05fb33 f01107 02 407fff 018010 03 22cc44 90fe31 04 0780f9 6133d5")
"""Two pixels of RGB in five rows, one for each filter, and what they are without."""
_PIXELS = bytes.fromhex("10f07f8020c0 05fb33f50c3a 457a32f68c4a 44095d2d4884 4b89568ebc59")


class FilterError(Exception):
    """Rows that cannot be unfiltered."""


def stored(piece: bytes) -> Iterator[bytes]:
    """Bytes as blocks of a deflate stream that are not packed."""
    for start in range(0, len(piece), BLOCK):
        block = piece[start : start + BLOCK]
        yield struct.pack("<BHH", 0, len(block), len(block) ^ 0xFFFF)
        yield block


def room(size: tuple[int, int], mode: str) -> mmap:
    """Memory for the pixels of a picture, and of the row above it."""
    return buffer_of((size[1] + 1) * size[0] * BYTES[mode])


def unfiltered(
    library: Any, buffer: mmap, size: tuple[int, int], mode: str, above: bytes, rows: Iterable[bytes]
) -> Image.Image:
    """The picture that `rows` are, over `buffer`, which was made by room(); its mode is L, RGB or RGBA.

    `rows` are the bytes of all rows, each behind the number of its filter, in pieces of any size; `above` are the
    pixels of the row above them, black for the first. Raises FilterError where there are too few, or no such filter.
    """
    kind, form = MODES[mode]
    blocks = [b"\x78\x01", *stored(b"\0" + above)]
    for piece in rows:
        blocks += stored(piece)
    header = struct.pack(">I4sIIBB7x", 13, b"IHDR", size[0], size[1] + 1, 8, kind)
    # None of the sums in it is right, for none is looked at.
    file = b"".join(
        (b"\x89PNG\r\n\x1a\n", header, struct.pack(">I4s", sum(map(len, blocks)), b"IDAT"), *blocks, bytes(4))
    )
    pixels = (ctypes.c_char * len(buffer)).from_buffer(buffer)
    context = library.spng_ctx_new(_IGNORE_ADLER)
    try:
        library.spng_set_crc_action(context, _CRC_USE, _CRC_USE)
        library.spng_set_png_buffer(context, file, len(file))
        status = library.spng_decode_image(context, pixels, (size[1] + 1) * size[0] * BYTES[mode], form, 0)
    finally:
        library.spng_ctx_free(context)
    if status:
        raise FilterError(f"libspng ended with status {status}.")
    return image_over(buffer, size, mode, size[0] * BYTES[mode])


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
        library.spng_set_png_buffer.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
        library.spng_decode_image.argtypes = (
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t),
            *(ctypes.c_int, ctypes.c_int),
        )
        image = unfiltered(library, room((2, 5), "RGB"), (2, 5), "RGB", bytes(6), (_ROWS,))
    except (OSError, AttributeError, FilterError):
        return None
    return library if image.tobytes() == _PIXELS else None
