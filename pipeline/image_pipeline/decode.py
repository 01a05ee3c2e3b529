"""Bytes to pixels, once: the first frame, at the smallest scale that serves, in a mode that can be resized.

Pillow's file classes are used directly, one per sniffed format: no other decoder ever sees the bytes, and only the
plugin that is needed is imported. Where Pillow's own way from the file to the pixels is a slow one, another is taken
once its class has read the headers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from typing import Any

from PIL import Image, JpegImagePlugin

from image_pipeline.faults import TransientError
from image_pipeline.geometry import covers
from image_pipeline.guard import Sniffed
from image_pipeline.record import Refusal, RefusedError
from image_pipeline.resize import premultiply
from image_pipeline.scans import ends_orderly, spare_bits, without_refinements
from image_pipeline.stream import BLOCK, Arriving

_PLUGINS = {
    "jpeg": (__name__, "_JpegFile"),
    "png": ("PIL.PngImagePlugin", "PngImageFile"),
    "gif": ("PIL.GifImagePlugin", "GifImageFile"),
    "webp": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "avif": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "tiff": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "bmp": ("PIL.BmpImagePlugin", "BmpImageFile"),
}


_SCALES = ((8, 10.0), (4, 5.0), (2, 2.75))
"""By how much a JPEG is scaled down as it is decoded, and how many times as large as what is wanted it has to be: the
rest is left to Lanczos. With less to do for that, a picture is up to 0.35 dB further from what all pixels give."""


class _JpegFile(JpegImagePlugin.JpegImageFile):
    """Without Pillow's own look into EXIF, which is for a print resolution that nobody here asks for."""

    def _read_dpi_from_exif(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded picture. `image` is L, RGB, RGBa or CMYK, in stored orientation.

    `extent` is the exact width and height that the picture takes in `image`: a JPEG decoded at 1/8 is rounded up to
    whole pixels. `mode` is Pillow's name for the file's own mode; `exif` and `icc` are whatever the file holds there.
    """

    image: Image.Image
    extent: tuple[float, float]
    mode: str
    exif: object
    icc: object
    note: str


def open_image(form: str, data: bytes, ends_early: bool) -> Any:
    """Pillow's image of `data`, headers read and pixels not yet; raises RefusedError for bytes it cannot read."""
    with refusing(ends_early):
        return _open(form, data)


def decode(data: bytes, sniffed: Sniffed, wanted: tuple[int, int]) -> Decoded:
    """Decode the first frame, at `wanted` pixels at least (stored orientation) where the format can be scaled.

    Raises RefusedError: TRUNCATED, CORRUPT, METADATA_TOO_LARGE.
    """
    try:
        with refusing(sniffed.ends_early):
            return _decode(sniffed, data, wanted)
    except RefusedError as error:
        # Pillow gives up on a PNG with a damaged text, profile or gamma chunk, whose pixels may be fine.
        if sniffed.format != "png" or sniffed.ends_early or error.code is Refusal.METADATA_TOO_LARGE:
            raise
        bare = _without_metadata(data)
        if len(bare) == len(data):
            raise
        with refusing(sniffed.ends_early):
            return _decode(sniffed, bare, wanted)


def decode_arriving(head: bytes, arriving: Arriving, sniffed: Sniffed, wanted: tuple[int, int]) -> Decoded:
    """As `decode`, of a one_pass picture whose first bytes are `head`, while the others come.

    All bytes have come when it returns or raises RefusedError: then the file was looked at as a whole once more, for
    what the decoder says of a damaged file depends on how much of it has come.
    """
    with suppress(RefusedError), refusing(sniffed.ends_early):
        decoded = _decode(sniffed, head, wanted, arriving)
        if ends_orderly(arriving.last_read(), arriving.read):
            arriving.finish()
            return decoded
    return decode(arriving.whole(), sniffed, wanted)


def _open(form: str, data: bytes) -> Any:
    module, name = _PLUGINS[form]
    return getattr(import_module(module), name)(BytesIO(data))


def _decode(sniffed: Sniffed, data: bytes, wanted: tuple[int, int], arriving: Arriving | None = None) -> Decoded:
    image = _open(sniffed.format, data)
    width, height = image.size
    if (width, height) != (sniffed.width, sniffed.height):
        # The limits were checked on the size that the guard read: nothing else may be decoded.
        raise RefusedError(Refusal.CORRUPT, f"It is {width} × {height} to one reader and not to another.")
    mode, scale = image.mode, 1
    if sniffed.format == "jpeg":
        scale = _draft(image, data, wanted, arriving)
    exif, icc = image.info.get("exif"), image.info.get("icc_profile")
    if (plain := _without_load(sniffed.format, image, data, wanted)) is not None:
        return Decoded(plain, plain.size, mode, exif, icc, "")
    image.load()
    # Whatever stands behind the pixels is known only now.
    exif, icc = image.info.get("exif"), image.info.get("icc_profile")
    plain, note = _plain(image)
    # The pixels without the file: Pillow's AVIF encoder would go through all frames of the file, and stay at the last.
    plain = plain._new(plain.im)
    plain.info = {}
    return Decoded(plain, (width / scale, height / scale), mode, exif, icc, note)


def _without_load(form: str, image: Any, data: bytes, wanted: tuple[int, int]) -> Image.Image | None:
    """The pixels as L, RGB or RGBa, where there is a faster way to them than Pillow's; they cover `wanted`."""
    if form == "png":
        from image_pipeline.png import decode_png

        return decode_png(image, data, wanted)
    if form == "webp":
        from image_pipeline.webp import decode_still

        still = decode_still(data, image.size, wanted)
        return premultiply(still) if still is not None and still.mode == "RGBA" else still
    return None


def _draft(image: Any, data: bytes, wanted: tuple[int, int], arriving: Arriving | None) -> int:
    """Have a JPEG decoded at 1/8, 1/4, 1/2 or 1/1, so that `wanted` can be made of it well; returns the divisor."""
    # What is wanted was rounded to whole pixels, by half of one at most.
    fits = (
        scale for scale, least in _SCALES if covers(image.size, (least * (wanted[0] - 0.5), least * (wanted[1] - 0.5)))
    )
    scale = next(fits, 1)
    image.draft(None, (max(1, image.width // scale), max(1, image.height // scale)))
    if arriving is not None:
        image.fp, image.decodermaxblock = arriving, BLOCK
        return scale
    image.decodermaxblock = len(data)  # one block: the whole file is in memory already
    if scale > 1 and "progressive" in image.info:
        image.fp = BytesIO(without_refinements(data, spare_bits(image.layer, image.quantization, scale)))
    return scale


def _plain(image: Any) -> tuple[Image.Image, str]:
    """`image` as L, RGB, RGBa or CMYK, and what that cost it in words."""
    mode = image.mode
    if mode in ("L", "RGB") and "transparency" not in image.info:
        return image, ""
    if mode == "RGBA":
        return premultiply(image), ""
    if mode == "CMYK":
        return image, ""
    if mode.startswith("I;16"):
        return _from_16_bits(image), "Reduced from 16 bits to 8."
    if mode in ("I", "F"):
        return _stretched(image), "Scaled from its range of values to 8 bits."
    if image.has_transparency_data:
        # LA comes in a premultiplied variant that converts to LA alone.
        return premultiply((image.convert("LA") if mode == "La" else image).convert("RGBA")), ""
    return image.convert("L" if mode == "1" else "RGB"), ""


def _from_16_bits(image: Any) -> Image.Image:
    """The high bytes as L, or RGBa where one value stands for transparent. Pillow's own conversion clips at 255."""
    high = 0 if image.mode == "I;16B" else 1
    grey = Image.frombytes("L", image.size, image.tobytes()[high::2])
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return grey
    table = [255] * 65536
    table[key] = 0
    return premultiply(Image.merge("RGBA", (grey, grey, grey, image.convert("I").point(table, "L"))))


def _stretched(image: Any) -> Image.Image:
    """32-bit integers or floats as L: 8 and 16 bit ranges and 0..1 by their meaning, any other from end to end."""
    low, high = image.getextrema()
    if low < 0 or high > 65535:
        scale, offset = (255 / (high - low), -low * 255 / (high - low)) if low < high < float("inf") else (0, 128)
    elif image.mode == "F" and high <= 1:
        scale, offset = 255, 0
    else:
        scale, offset = (1, 0) if high <= 255 else (1 / 256, 0)
    scaled: Image.Image = image.convert("F").point(lambda value: value * scale + offset).convert("L")
    return scaled


def _without_metadata(data: bytes) -> bytes:
    """A PNG with the chunks that make its pixels and nothing else."""
    kept, position = [data[:8]], 8
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(data[position:end])
        if kind == b"IEND":
            break
        position = end
    return b"".join(kept)


@contextmanager
def refusing(ends_early: bool) -> Iterator[None]:
    """Whatever a decoder raises inside becomes a RefusedError; running out of memory passes, and so do lost bytes."""
    try:
        yield
    except (RefusedError, TransientError, MemoryError):
        raise
    except Exception as error:
        # Decoders raise SyntaxError, RuntimeError, struct.error, ZeroDivisionError and more, all for bad bytes.
        text = str(error)
        if "too large" in text or "Too much memory" in text:
            raise RefusedError(
                Refusal.METADATA_TOO_LARGE, "A text or profile in it unpacks to more than 1 MB."
            ) from error
        if text.startswith("Unsupported BMP"):
            raise RefusedError(Refusal.UNSUPPORTED_TYPE, "It is a rare kind of BMP that cannot be read.") from error
        cut = ends_early or "truncat" in text.lower() or isinstance(error, EOFError | struct.error)
        raise RefusedError(Refusal.TRUNCATED if cut else Refusal.CORRUPT) from error
