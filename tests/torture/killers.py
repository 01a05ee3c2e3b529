"""Files made to take a decoder's memory or time: little ones of huge pictures, the largest that are let in."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pictures
from PIL import Image

from image_pipeline.record import Refusal

SIDE = 7071
"""Of a square with just less than the 50 million pixels that are let in."""


@dataclass(frozen=True)
class Killer:
    """A file, and the verdicts that are right for it: "READY", or codes of refusals."""

    make: Callable[[], bytes]
    ends: frozenset[str]


def _of(make: Callable[[], bytes], *ends: str) -> Killer:
    return Killer(make, frozenset(ends))


def _full(mode: str, form: str, **options: Any) -> Killer:
    """The largest picture of one mode and format. Where the decoder takes too much memory for it, it is refused."""

    def make() -> bytes:
        return pictures.saved(Image.new(mode, (SIDE, SIDE)), form, **options)

    return _of(make, "READY", "too_many_pixels")


def _claiming(width: int, height: int) -> bytes:
    """An AVIF of a few pixels that its header has scaled to more."""
    data = pictures.saved(pictures.scene(64, 64), "AVIF")
    return data.replace(struct.pack(">2I", 64, 64), struct.pack(">2I", width, height))


def _deflated(width: int, height: int) -> bytes:
    """A TIFF of any size in one deflated strip."""
    packer = zlib.compressobj(9)
    strip = b"".join(packer.compress(bytes(width)) for _ in range(height)) + packer.flush()
    tags = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 273: 0, 277: 1, 278: height, 279: len(strip)}
    head = 8 + 2 + 12 * len(tags) + 4
    tags[273] = head
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + strip


KILLERS: dict[str, Killer] = {
    # All formats are on here.
    **{name: _of(bad.make, bad.refusal.value) for name, bad in pictures.BAD.items() if name != "TIFF that is off"},
    **{name: _of(make, "READY", *(code.value for code in Refusal)) for name, make in pictures.SLOW.items()},
    "89 MP PNG, for which Pillow has no warning": _of(partial(pictures.png, 9459, 9459), "too_many_pixels"),
    "144 MP AVIF": _of(partial(_claiming, 12000, 12000), "too_many_pixels"),
    "49 MP AVIF": _of(partial(_claiming, 7000, 7000), "READY"),
    "169 MP TIFF": _of(partial(_deflated, 13000, 13000), "too_many_pixels"),
    "JPEG 2000": _of(lambda: pictures.saved(pictures.scene(64, 64), "JPEG2000"), "unsupported_type"),
    "100,000 frames": _of(pictures.gif_of_frames, "READY"),
    "2,000 frames of a WebP": _of(lambda: _frames("WEBP", 2000), "READY"),
    "1,000 frames of a PNG": _of(lambda: _frames("PNG", 1000), "READY"),
    "largest JPEG": _of(pictures.large_jpeg, "READY"),
    "largest WebP": _of(partial(pictures.webp_claiming, 6400, 6400), "READY"),
    "largest RGBA PNG": _of(partial(pictures.png, SIDE, SIDE, colour=6), "READY"),
    "longest line": _of(partial(pictures.png, 30_000, 1), "READY"),
    "highest column": _of(partial(pictures.png, 1, 30_000), "READY"),
    "largest deflated TIFF": _of(partial(_deflated, SIDE, SIDE), "READY"),
    **{
        f"largest {mode} {form}{''.join(f' {name}' for name in options)}": _full(mode, form, **options)
        for mode, form, options in (
            ("I;16", "PNG", {"compress_level": 1}),
            ("P", "GIF", {}),
            ("P", "PNG", {"transparency": 0}),
            ("1", "BMP", {}),
            ("RGBA", "TIFF", {"compression": "tiff_adobe_deflate"}),
            ("F", "TIFF", {"compression": "tiff_adobe_deflate"}),
            ("CMYK", "TIFF", {"compression": "tiff_lzw"}),
            ("RGB", "JPEG", {"progressive": True, "subsampling": "4:4:4"}),
            ("CMYK", "JPEG", {"progressive": True, "quality": 30}),
        )
    },
}


def _frames(form: str, frames: int) -> bytes:
    images = [Image.new("L", (16, 16), number % 2 * 255) for number in range(frames)]
    return pictures.saved(images[0], form, save_all=True, append_images=images[1:])
