"""Colour: which profile a picture keeps, when it becomes sRGB, and what a colour is in sRGB.

Only matrix and grey curve profiles are computed here, without a colour library; the rest is left to LittleCMS, which
is imported when the first such picture arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import Image

from image_pipeline.icc import Profile, Vector, parse_profile

MAX_EMBEDDED = 4096
"""A clean profile of at most this many bytes goes into every output; a larger one would outweigh a thumbnail."""

_MAX_REMEMBERED = 65_536
"""A worker lives on: of profiles that it met, only those of at most this many bytes stay in memory."""

# From XYZ under D50 to linear sRGB, by row.
_XYZ_TO_SRGB: tuple[Vector, ...] = (
    (3.1342, -1.6173, -0.4907),
    (-0.9787, 1.9161, 0.0334),
    (0.0720, -0.2290, 1.4057),
)


@dataclass(frozen=True, slots=True)
class Colour:
    """What to do with the colours of one picture.

    `embed` goes into the outputs, cleaned; `source` is a profile to convert from, after the resize; `note` says so in
    words.
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

    def mean_of(self, image: Image.Image) -> str:
        """The mean of what is visible of an output, in sRGB, as #rrggbb; white where nothing is."""
        mean = image.resize((1, 1), Image.Resampling.BOX).convert("RGBA")
        red, green, blue, alpha = mean.tobytes()
        return "#{:02x}{:02x}{:02x}".format(*self.in_srgb((red, green, blue))) if alpha else "#ffffff"

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
    if profile is not None and profile.is_srgb and mode != "CMYK":
        return Colour()
    if profile is None or profile.space not in fitting:
        return Colour(note="The colour profile is damaged or made for other colours: it was passed over.")
    if 0 < len(profile.clean) <= MAX_EMBEDDED:
        return Colour(embed=profile, note=f"Colour profile kept: {profile.name}.")
    return Colour(source=profile, note=f"Converted to sRGB from {profile.name}.")


def read_profile(icc: bytes) -> Profile | None:
    """The profile in `icc`, or None when it is damaged or is no profile for pictures."""
    return _known_profile(icc) if len(icc) <= _MAX_REMEMBERED else parse_profile(icc)


_known_profile = lru_cache(maxsize=16)(parse_profile)


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


# Built once for all sizes of a picture; more would keep strangers' profiles of megabytes in memory.
@lru_cache(maxsize=2)
def _transform(profile: bytes, mode: str) -> Any:
    from io import BytesIO

    from PIL import ImageCms

    source, srgb = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(source, srgb, mode, "RGBA" if mode == "RGBA" else "RGB")
