"""The pictures: photographs at the sizes, formats and with the grain that cameras give them, made once.

Run as a program by the Python that has numpy: `python -m benchmarks.photos FOLDER SOURCE…`, where SOURCE is a folder
with photographs, or nothing, for photographs made by code.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

VERSION = "2"
"""Changes whenever a picture does, so that those of an older version are made anew."""


@dataclass(frozen=True)
class Photo:
    """A picture to measure with. `output` is what everybody writes it as; `judged` says that targets speak of it."""

    key: str
    title: str
    file: str
    output: str = "jpeg"

    @property
    def is_jpeg(self) -> bool:
        return self.file.endswith(".jpg")


PHOTOS = (
    Photo("jpeg-24mp", "24 MP JPEG", "24mp.jpg"),
    Photo("jpeg-20mp", "20 MP JPEG, as it came", "20mp-original.jpg"),
    Photo("jpeg-12mp", "12 MP phone JPEG, turned, P3", "12mp-phone.jpg"),
    Photo("jpeg-3mp", "3 MP JPEG, 2048 wide", "3mp-2048.jpg"),
    Photo("jpeg-2mp", "2 MP JPEG", "2mp.jpg"),
    Photo("jpeg-90kb", "90 KB JPEG", "90kb.jpg"),
    Photo("jpeg-progressive", "24 MP JPEG, progressive", "24mp-progressive.jpg"),
    Photo("jpeg-cmyk", "6 MP JPEG, CMYK", "6mp-cmyk.jpg"),
    Photo("png-12mp", "12 MP PNG", "12mp.png"),
    Photo("png-alpha", "3 MP PNG with alpha", "3mp-alpha.png", "webp"),
    Photo("png-16bit", "6 MP PNG, 16 bits", "6mp-16bit.png"),
    Photo("webp-12mp", "12 MP WebP", "12mp.webp"),
    Photo("webp-lossless", "2 MP WebP, lossless", "2mp-lossless.webp"),
    Photo("avif", "12 MP AVIF", "12mp.avif"),
    Photo("gif", "0.5 MP GIF", "05mp.gif"),
)

LARGE = (
    Photo("jpeg-108mp", "108 MP JPEG", "108mp.jpg"),
    Photo("png-50mp", "50 MP PNG", "50mp.png"),
)
"""For the memory they take only."""

TINY = Photo("tiny", "a tiny JPEG", "tiny.jpg")
"""What a worker has handled before its memory counts as idle."""

WALLPAPERS = ("lomiri-wallpapers-20.04", "mate-backgrounds")
"""Debian's packages with the photographs."""

_NAMES = {"bird": "Kleiber_by_Lukas_Baubkus.jpg", "dune": "Dune.jpg", "rain": "RainDrops.jpg", "storm": "Storm.jpg"}


class _Source:
    """Photographs by their motif: Debian's, or made by code, a different one for each name."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def path(self, name: str) -> Path | None:
        return next(self.folder.rglob(_NAMES[name]), None) if self.folder else None

    def photo(self, name: str, size: tuple[int, int], grain: float = 3.0) -> Any:
        """The middle of the photograph at exactly that size, with a sensor's noise: RGB."""
        from PIL import Image, ImageOps

        found = self.path(name)
        if found:
            image = Image.open(found).convert("RGB")
        else:
            from imgpipe.sample import sample_photo

            image = Image.open(BytesIO(sample_photo(12, seed=1 + list(_NAMES).index(name), quality=95))).convert("RGB")
        return _with_grain(ImageOps.fit(image, size, Image.Resampling.BICUBIC), grain)


def _with_grain(image: Any, sigma: float) -> Any:
    """Noise as after demosaicing: of `sigma` levels, a little softer than pixels, brighter parts a little noisier."""
    if not sigma:
        return image
    import numpy as np
    from PIL import Image

    chance = np.random.default_rng(7)
    pixels = np.asarray(image)
    made = np.empty_like(pixels)
    for top in range(0, image.height, 256):
        strip = pixels[top : top + 256].astype(np.float32)
        noise = chance.standard_normal(strip.shape, dtype=np.float32)
        noise[:, 1:] = 0.8 * noise[:, 1:] + 0.6 * noise[:, :-1]
        strip += noise * (sigma * (0.6 + 0.8 * strip / 255))
        made[top : top + 256] = np.clip(np.rint(strip), 0, 255)
    return Image.fromarray(made)


def _jpeg(image: Any, quality: int, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling="4:2:0", **options)
    return file.getvalue()


def _saved(image: Any, form: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _phone(source: _Source) -> bytes:
    from PIL import Image

    from imgpipe.icc import display_p3

    exif = Image.Exif()
    exif.update({0x010F: "Camera", 0x0110: "Phone", 0x0112: 6, 0x0132: "2024:06:21 20:47:13"})
    exif.get_ifd(0x8825).update({1: "N", 2: (46.0, 21.0, 49.0), 3: "E", 4: (14.0, 5.0, 37.0)})
    return _jpeg(source.photo("dune", (4032, 3024), 6.0), 94, exif=exif.tobytes(), icc_profile=display_p3())


def _about_90_kb(source: _Source) -> bytes:
    image = source.photo("storm", (1200, 800), 2.0)
    return min((_jpeg(image, quality) for quality in range(50, 96, 3)), key=lambda data: abs(len(data) - 90_000))


def _cmyk(source: _Source) -> bytes:
    image = source.photo("rain", (3000, 2000), 5.0).convert("CMYK")
    # A profile as printers embed one, where Debian's Ghostscript was to be had.
    profile = next(source.folder.rglob("default_cmyk.icc"), None) if source.folder else None
    return _jpeg(image, 88, icc_profile=profile.read_bytes() if profile else None)


def _cut_out(source: _Source) -> bytes:
    """A photograph within a soft oval, as shops have them."""
    from PIL import Image, ImageOps

    image = source.photo("rain", (2000, 1500), 1.5)
    oval = ImageOps.invert(Image.radial_gradient("L")).point([min(255, max(0, 3 * (step - 80))) for step in range(256)])
    image.putalpha(oval.resize(image.size))
    return _saved(image, "PNG")


def _deep(source: _Source) -> bytes:
    """RGB with 14 of 16 bits in use, which Pillow cannot write; filtered as libpng mostly does in photographs."""
    import numpy as np

    image = source.photo("dune", (3000, 2000))
    chance = np.random.default_rng(3)
    fine = 4 * chance.integers(0, 64, size=(image.height, image.width, 3), dtype=np.uint16)
    rows = ((np.asarray(image).astype(np.uint16) << 8) + fine).astype(">u2").view(np.uint8).reshape(image.height, -1)
    filtered = np.empty((image.height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 4
    for at in range(image.height):
        up = rows[at - 1] if at else np.zeros_like(rows[0])
        left = np.concatenate([np.zeros(6, np.uint8), rows[at][:-6]])
        corner = np.concatenate([np.zeros(6, np.uint8), up[:-6]])
        filtered[at, 1:] = rows[at] - _paeth(*(one.astype(np.int16) for one in (left, up, corner)))
    header = struct.pack(">IIBBBBB", image.width, image.height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _paeth(left: Any, up: Any, corner: Any) -> Any:
    import numpy as np

    guess = left + up - corner
    to_left, to_up, to_corner = abs(guess - left), abs(guess - up), abs(guess - corner)
    near = np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))
    return near.astype(np.uint8)


def _as_it_came(source: _Source) -> bytes | None:
    found = source.path("bird")
    return found.read_bytes() if found else None


_MAKERS: dict[str, Callable[[_Source], bytes | None]] = {
    "24mp.jpg": lambda source: _jpeg(source.photo("bird", (6000, 4000), 6.0), 92),
    "20mp-original.jpg": _as_it_came,
    "12mp-phone.jpg": _phone,
    # As wide as the largest rendition twice: who decodes at half of it has nothing left to do, and it shows.
    "3mp-2048.jpg": lambda source: _jpeg(source.photo("bird", (2048, 1365), 2.0), 92),
    "2mp.jpg": lambda source: _jpeg(source.photo("rain", (1632, 1224), 5.0), 92),
    "90kb.jpg": _about_90_kb,
    "24mp-progressive.jpg": lambda source: _jpeg(source.photo("bird", (6000, 4000), 6.0), 92, progressive=True),
    "6mp-cmyk.jpg": _cmyk,
    "12mp.png": lambda source: _saved(source.photo("dune", (4032, 3024), 3.0), "PNG"),
    "3mp-alpha.png": _cut_out,
    "6mp-16bit.png": _deep,
    "12mp.webp": lambda source: _saved(source.photo("dune", (4032, 3024), 6.0), "WEBP", quality=88, method=2),
    "2mp-lossless.webp": lambda source: _saved(source.photo("rain", (1632, 1224), 0), "WEBP", lossless=True, method=2),
    "12mp.avif": lambda source: _saved(source.photo("dune", (4032, 3024), 6.0), "AVIF", quality=70, speed=9),
    "05mp.gif": lambda source: _saved(source.photo("storm", (900, 600), 0).quantize(256), "GIF"),
    "108mp.jpg": lambda source: _jpeg(source.photo("bird", (12000, 9000), 5.0), 86),
    "50mp.png": lambda source: _saved(source.photo("storm", (8640, 5760), 0.5), "PNG", compress_level=4),
    "tiny.jpg": lambda source: _jpeg(source.photo("storm", (120, 80)), 82),
}


def stamp(folder: Path) -> Path:
    """The file that says that the pictures of this version are all there; it holds where they came from."""
    return folder / f".complete-{VERSION}"


def make_all(folder: Path, source: Path | None) -> Iterator[str]:
    """Make every picture that can be made, yielding the name of each as it begins."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in _MAKERS.items():
        yield name
        data = make(_Source(source))
        if data is not None:
            (folder / name).write_bytes(data)
    stamp(folder).write_text("Debian's wallpaper packages" if source else "code", "utf-8")


if __name__ == "__main__":
    for step in make_all(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None):
        sys.stdout.write(step + "\n")
        sys.stdout.flush()
