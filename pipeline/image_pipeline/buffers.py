"""Pillow images over memory that another library writes into, without a copy."""

from __future__ import annotations

from mmap import mmap

from PIL import Image

BYTES = {"L": 1, "RGB": 4, "RGBA": 4}
"""Of a pixel in Pillow's memory, by mode."""


def image_over(buffer: mmap, size: tuple[int, int], mode: str, offset: int = 0) -> Image.Image:
    """The image whose pixels are the bytes of `buffer` from `offset` on, row by row, BYTES of its mode each.

    Whoever writes into the buffer changes the image. Pillow's own frombuffer() would copy RGB.
    """
    core = Image.core.map_buffer(buffer, size, "raw", offset, (mode, 0, 1))  # type: ignore[attr-defined]
    image = Image.Image()._new(core)
    image.readonly = 0
    return image
