"""Pixels to bytes: one setting per format, chosen for cost, and nothing in the file but the picture.

JPEG: quality 82, 4:2:0, optimised Huffman tables: what most image services serve.
WebP: quality 80, method 2: half the time of method 4 for a few per cent more bytes, and nearer to the original.
AVIF: quality 60, speed 9: a third of the time of speed 8 for a tenth more bytes.
PNG: level 6 for graphics; photographs are packed by Huffman codes and runs alone, which takes half the time and fewer
bytes, because there is nothing to be found again in noise.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from io import BytesIO
from typing import Any

from PIL import Image

from image_pipeline.resize import unmultiply
from image_pipeline.settings import OutputFormat

CONTENT_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
}

EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp", "avif": "avif"}

GREY_MODES = ("LA", "La", "I;16", "I;16B")
"""Pillow's modes that are grey, though their alpha makes four channels of them on the way."""

_PLUGINS = {"webp": "PIL.WebPImagePlugin", "avif": "PIL.AvifImagePlugin"}
_RLE = 3  # zlib's strategy of that name

# Pillow's five everyday plugins. The first save would import them; a function starts with more CPU than it runs on.
Image.preinit()


def output_format(asked: OutputFormat, source: str, mode: str) -> str:
    """The format to write for a picture that came as `source` in Pillow's `mode`.

    "keep" keeps what the web shows: a GIF's frame becomes PNG; TIFF and BMP become PNG where they have a palette,
    two colours or transparency, and JPEG otherwise.
    """
    if asked != "keep":
        return asked
    if source in EXTENSIONS:
        return source
    return "png" if source == "gif" or mode in ("1", "P", "PA", "LA", "La", "RGBA", "RGBa") else "jpeg"


def encode(image: Image.Image, form: str, *, icc: bytes | None = None, grey: bool = False) -> bytes:
    """`image` (L, RGB or RGBa) as a file. `icc` is embedded; transparency is laid on white where JPEG has none.

    `grey` says that all channels but alpha are equal, which PNG can use.
    """
    if form in _PLUGINS:
        import_module(_PLUGINS[form])
    if image.mode == "RGBa":
        image = unmultiply(image)
        if form == "jpeg":
            image = _on_white(image)
        elif form == "png" and grey:
            image = image.convert("LA")
    options: dict[str, Any] = {}
    if form == "jpeg":
        options = {"quality": 82, "subsampling": "4:2:0", "optimize": True}
    elif form == "png":
        options = {"compress_level": 1, "compress_type": _RLE} if _is_noisy(image) else {"compress_level": 6}
    elif form == "webp":
        options = {"quality": 80, "method": 2}
    elif form == "avif":
        options = {"quality": 60, "speed": 9}
    if icc:
        options["icc_profile"] = icc
    # The pixels alone: nothing that the image carries is written, and its other formats may be written meanwhile.
    image = image._new(image.im)
    image.info = {}
    file = BytesIO()
    image.save(file, form.upper(), **options)
    return file.getvalue()


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _is_noisy(image: Image.Image) -> bool:
    """Whether the picture looks like a photograph to a packer: strips of it do not shrink to half."""
    heights = (image.height * quarter // 4 for quarter in (1, 2, 3))
    strips = b"".join(image.crop((0, top, image.width, min(top + 8, image.height))).tobytes() for top in heights)
    return 2 * len(zlib.compress(strips, 1)) > len(strips)
