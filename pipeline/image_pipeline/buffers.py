"""Pillow images over memory that another library writes into, without a copy."""

from __future__ import annotations

import mmap
from contextlib import suppress

from PIL import Image

BYTES = {"L": 1, "RGB": 4, "RGBA": 4}
"""Of a pixel in Pillow's memory, by mode."""

_LARGE_PAGE = 2 << 20
"""Bytes of a large page on x86_64, and on arm64 where the small ones have 4 KB."""


def buffer_of(size: int) -> mmap.mmap:
    """At least so many bytes, all 0. Pages that nobody touches cost nothing, unlike those of a bytearray.

    The first touch of a page takes 3 µs of a virtual machine's CPU: 9 ms for 3 megapixels in pages of 4 KB. So a large
    buffer asks for large pages, which Linux gives to memory that is not shared.
    """
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    if size < _LARGE_PAGE:
        return mmap.mmap(-1, size, flags=private)
    buffer = mmap.mmap(-1, -(-size // _LARGE_PAGE) * _LARGE_PAGE, flags=private)
    with suppress(AttributeError, OSError):  # not every system has them, nor every kernel of Linux
        buffer.madvise(mmap.MADV_HUGEPAGE)
    return buffer


def image_over(buffer: mmap.mmap, size: tuple[int, int], mode: str) -> Image.Image:
    """The image whose pixels are the bytes of `buffer`, row by row, BYTES of its mode each.

    Whoever writes into the buffer changes the image. Pillow's own frombuffer() would copy RGB.
    """
    core = Image.core.map_buffer(buffer, size, "raw", 0, (mode, 0, 1))  # type: ignore[attr-defined]
    image = Image.Image()._new(core)
    image.readonly = 0
    return image
