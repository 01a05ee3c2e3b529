"""Colour: which profile a picture keeps, when it becomes sRGB, and what a colour is in sRGB.

ICC.1:2022 describes the profile format. Only matrix and grey curve profiles are computed here, without a colour
library; the rest is left to LittleCMS, which is imported when the first such picture arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import Image

MAX_EMBEDDED = 4096
"""A profile of at most this many bytes goes into every output; a larger one would outweigh a thumbnail."""

_MAX_PROFILE = 4_000_000

_Curve = Callable[[float], float]
_Vector = tuple[float, float, float]

# Columns of red, green and blue in XYZ under D50, as every sRGB profile states them, and the inverse by row.
_SRGB_COLORANTS: tuple[_Vector, ...] = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7142))
_XYZ_TO_SRGB: tuple[_Vector, ...] = (
    (3.1342, -1.6173, -0.4907),
    (-0.9787, 1.9161, 0.0334),
    (0.0720, -0.2290, 1.4057),
)


@dataclass(frozen=True, slots=True)
class Profile:
    """A well-formed ICC profile: its colour space as four letters, its name, and its matrix and curves if it has."""

    data: bytes
    space: str
    name: str
    colorants: tuple[_Vector, ...]
    curves: tuple[_Curve, ...]

    @property
    def is_srgb(self) -> bool:
        """Whether its numbers mean what sRGB's do; names are not asked, many profiles of cameras bear none."""
        if self.space == "RGB " and not all(
            abs(a - b) < 0.004
            for mine, srgb in zip(self.colorants, _SRGB_COLORANTS, strict=True)
            for a, b in zip(mine, srgb, strict=True)
        ):
            return False
        steps = (0.02, 0.1, 0.25, 0.5, 0.75, 0.95)
        return all(abs(curve(step) - _linear(step)) < 0.004 for curve in self.curves for step in steps)


@dataclass(frozen=True, slots=True)
class Colour:
    """What to do with the colours of one picture.

    `embed` goes into the outputs; `source` is a profile to convert from, after the resize; `note` says so in words.
    """

    embed: Profile | None = None
    source: Profile | None = None
    note: str = ""

    def prepare(self, image: Image.Image) -> Image.Image:
        """`image` as its outputs show it: L, RGB or RGBa, with the numbers of sRGB or of the embedded profile."""
        if self.source:
            return _convert(image, self.source)
        if image.mode == "CMYK":
            return image.convert("RGB")
        # A grey picture may carry an RGB profile: its curves apply to all three channels alike.
        return image.convert("RGB") if image.mode == "L" and self.embed and self.embed.space == "RGB " else image

    def in_srgb(self, colour: tuple[int, int, int]) -> tuple[int, int, int]:
        """A colour of an output in sRGB, 0 to 255 each."""
        if not self.embed:
            return colour
        curves = self.embed.curves * (3 // len(self.embed.curves))
        linear = [curve(value / 255) for curve, value in zip(curves, colour, strict=True)]
        if self.embed.space == "RGB ":
            xyz = [sum(linear[n] * self.embed.colorants[n][row] for n in range(3)) for row in range(3)]
            linear = [sum(factor * value for factor, value in zip(row, xyz, strict=True)) for row in _XYZ_TO_SRGB]
        red, green, blue = (round(255 * _gamma(min(1.0, max(0.0, value)))) for value in linear)
        return red, green, blue


def interpret(icc: object, mode: str) -> Colour:
    """The treatment of a picture of `mode` (L, RGB, RGBa or CMYK) whose file holds the bytes `icc`, if any.

    A profile that is damaged, huge or made for other colours is passed over: the pixels are still good.
    """
    if not isinstance(icc, bytes) or not icc:
        return Colour(note="Converted from CMYK, which names no profile, to sRGB." if mode == "CMYK" else "")
    profile = read_profile(icc)
    fitting = {"CMYK": ("CMYK",), "L": ("GRAY", "RGB ")}.get(mode, ("RGB ",))
    if profile is not None and profile.curves and profile.is_srgb and mode != "CMYK":
        return Colour()
    if profile is None or profile.space not in fitting:
        return Colour(note="The colour profile is damaged or made for other colours: it was passed over.")
    if profile.curves and len(profile.data) <= MAX_EMBEDDED:
        return Colour(embed=profile, note=f"Colour profile kept: {profile.name}.")
    return Colour(source=profile, note=f"Converted to sRGB from {profile.name}.")


@lru_cache(maxsize=16)
def read_profile(icc: bytes) -> Profile | None:
    """The profile in `icc`, or None when it is damaged or is no profile for pictures."""
    size = int.from_bytes(icc[:4], "big")
    if not 132 <= size <= min(len(icc), _MAX_PROFILE) or icc[36:40] != b"acsp":
        return None
    icc = icc[:size]
    count = int.from_bytes(icc[128:132], "big")
    if count > 100 or 132 + 12 * count > size or icc[12:16] not in (b"mntr", b"scnr", b"prtr", b"spac"):
        return None
    tags = {}
    for entry in range(132, 132 + 12 * count, 12):
        offset, length = (
            int.from_bytes(icc[entry + 4 : entry + 8], "big"),
            int.from_bytes(icc[entry + 8 : entry + 12], "big"),
        )
        if offset + length > size:
            return None
        tags[icc[entry : entry + 4]] = icc[offset : offset + length]
    space = icc[16:20].decode("latin-1")
    names = {"RGB ": (b"rTRC", b"gTRC", b"bTRC"), "GRAY": (b"kTRC",)}.get(space, ())
    colorants = [_xyz(tags.get(name, b"")) for name in (b"rXYZ", b"gXYZ", b"bXYZ")] if space == "RGB " else []
    curves = [_curve(tags.get(name, b"")) for name in names]
    # With a table beside the matrix, the table counts: such a profile is left to LittleCMS.
    computed = icc[20:24] == b"XYZ " and b"A2B0" not in tags and None not in curves and None not in colorants
    return Profile(
        data=icc,
        space=space,
        name=_name(tags.get(b"desc", b"")) or f"an unnamed {space.strip()} profile",
        colorants=tuple(one for one in colorants if one) if computed else (),
        curves=tuple(one for one in curves if one) if computed else (),
    )


def _xyz(tag: bytes) -> _Vector | None:
    if tag[:4] != b"XYZ " or len(tag) < 20:
        return None
    x, y, z = (_fixed(tag, 8 + 4 * n) for n in range(3))
    return x, y, z


def _fixed(tag: bytes, offset: int) -> float:
    """A signed 16.16 fixed-point number."""
    return int.from_bytes(tag[offset : offset + 4], "big", signed=True) / 65536


def _curve(tag: bytes) -> _Curve | None:
    """A tone curve, from 0..1 to linear 0..1, or None for one that is damaged."""
    if tag[:4] == b"para" and len(tag) >= 12:
        return _parametric(tag)
    if tag[:4] != b"curv" or len(tag) < 12:
        return None
    count = int.from_bytes(tag[8:12], "big")
    if count == 0:
        return lambda value: value
    if 12 + 2 * count > len(tag):
        return None
    points = [int.from_bytes(tag[12 + 2 * n : 14 + 2 * n], "big") for n in range(count)]
    if count == 1:
        return lambda value: value ** (points[0] / 256)

    def interpolate(value: float) -> float:
        place = value * (count - 1)
        left = min(int(place), count - 2)
        return (points[left] + (points[left + 1] - points[left]) * (place - left)) / 65535

    return interpolate


def _parametric(tag: bytes) -> _Curve | None:
    kind = int.from_bytes(tag[8:10], "big")
    if kind > 4 or len(tag) < 12 + 4 * (1, 3, 4, 5, 7)[kind]:
        return None
    read = [_fixed(tag, 12 + 4 * n) for n in range((1, 3, 4, 5, 7)[kind])]
    gamma, a, b, c, d, e, f = (*read, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)[:7]
    if gamma <= 0:
        return None
    if kind == 0:
        return lambda value: value**gamma
    if kind in (1, 2):
        c, d, e, f = 0.0, -b / a if a else 0.0, c, c

    def curve(value: float) -> float:
        return max(0.0, a * value + b) ** gamma + e if value >= d else c * value + f

    return curve


def _name(tag: bytes) -> str:
    """The description in a `desc` tag of either version of the format, cut to one short line."""
    text = ""
    if tag[:4] == b"desc":
        text = tag[12 : 12 + int.from_bytes(tag[8:12], "big")].decode("latin-1")
    elif tag[:4] == b"mluc":
        length, offset = int.from_bytes(tag[20:24], "big"), int.from_bytes(tag[24:28], "big")
        text = tag[offset : offset + length].decode("utf-16-be", "ignore")
    return "".join(one for one in text if one.isprintable()).strip()[:64]


def _linear(value: float) -> float:
    """sRGB to linear light."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _gamma(value: float) -> float:
    """Linear light to sRGB."""
    return value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def _convert(image: Image.Image, profile: Profile) -> Image.Image:
    """`image` in sRGB; without the profile where LittleCMS cannot use it."""
    grey_as_rgb = image.mode == "L" and profile.space == "RGB "
    mode = "RGB" if grey_as_rgb else {"RGBa": "RGBA"}.get(image.mode, image.mode)
    try:
        transform = _transform(profile.data, mode)
    except Exception:
        # A damaged profile must not cost the picture. LittleCMS reports it in several classes of its own.
        return image.convert("RGB") if image.mode == "CMYK" else image
    made: Image.Image = transform.apply(image.convert(mode))
    return made.convert({"L": "L", "RGBA": "RGBa"}.get(mode, "RGB"))


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> Any:
    from io import BytesIO

    from PIL import ImageCms

    source, srgb = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(source, srgb, mode, "RGBA" if mode == "RGBA" else "RGB")
