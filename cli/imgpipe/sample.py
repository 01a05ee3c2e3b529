"""A photograph made by code, so that nobody needs one at hand: an evening at a lake, with all that a phone adds to it.

It is stored on its side with an EXIF orientation, carries a Display P3 profile and a GPS position, and has the grain
of a sensor, so that it weighs, decodes and compresses as a real photo of its size does. Pillow is imported on demand.
"""

from __future__ import annotations

import math
import random
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING

from .icc import display_p3

if TYPE_CHECKING:
    from PIL.Image import Exif, Image

_RGB = tuple[int, int, int]
_Stops = tuple[tuple[float, _RGB], ...]

_SKY: _Stops = (
    (0.0, (24, 46, 96)),
    (0.28, (62, 92, 148)),
    (0.55, (158, 148, 178)),
    (0.78, (240, 176, 138)),
    (0.92, (255, 206, 140)),
    (1.0, (255, 222, 168)),
)
_HORIZON = 0.60  # the water's edge, as a share of the height
_SUN = (0.44, 0.468)  # its centre, as shares of width and height


def sample_photo(megapixels: float = 12, *, seed: int = 1, quality: int = 90) -> bytes:
    """A portrait-format JPEG of about that many megapixels, the same bytes for the same arguments."""
    from PIL import Image, ImageChops

    unit = math.sqrt(megapixels * 1_000_000 / 12)
    width, height = max(1, round(3 * unit)), max(1, round(4 * unit))
    chance = random.Random(seed)  # noqa: S311 - the same photo every time is the point
    # Painted smaller than it is stored: a lens does not resolve single pixels either, grain does.
    scale = min(1.0, 1280 / height)
    upright = _landscape(max(1, round(width * scale)), max(1, round(height * scale)), chance)
    stored = upright.transpose(Image.Transpose.ROTATE_90).resize((height, width), Image.Resampling.BICUBIC)
    stored = ImageChops.add(stored, _grain(stored.size, chance), scale=1, offset=-_GRAIN)
    file = BytesIO()
    stored.save(file, "JPEG", quality=quality, exif=_exif(), icc_profile=display_p3())
    return file.getvalue()


def _landscape(width: int, height: int, chance: random.Random) -> Image:
    """Sky, sun, clouds, five ridges, their reflection in the water, and reeds in front."""
    from PIL import Image, ImageOps

    shore = round(height * _HORIZON)
    land = _sky(width, max(1, shore))
    _clouds(land, chance)
    _sun(land, width, height)
    _ridges(land, width, shore, chance)
    image = Image.new("RGB", (width, height))
    image.paste(land)
    image.paste(_water(ImageOps.flip(land), width, height - shore, chance), (0, shore))
    _reeds(image, chance)
    return image


def _gradient(size: tuple[int, int], stops: _Stops) -> Image:
    """From the first colour at the top to the last at the bottom."""
    from PIL import Image

    ramp = Image.linear_gradient("L").resize(size, Image.Resampling.BICUBIC)
    colours = [_between(stops, step / 255) for step in range(256)]
    return Image.merge("RGB", [ramp.point([colour[band] for colour in colours]) for band in range(3)])


def _between(stops: _Stops, place: float) -> _RGB:
    for (start, first), (end, second) in pairwise(stops):
        if place <= end:
            share = (place - start) / (end - start)
            red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
            return red, green, blue
    return stops[-1][1]


def _sky(width: int, height: int) -> Image:
    return _gradient((width, height), _SKY)


def _mist(size: tuple[int, int], cells: tuple[int, int], octaves: int, chance: random.Random) -> Image:
    """Soft noise: random cells blown up, with finer ones on top; L."""
    from PIL import Image

    made = Image.new("L", size, 128)
    for octave in range(octaves):
        grid = (cells[0] << octave, cells[1] << octave)
        layer = Image.frombytes("L", grid, chance.randbytes(grid[0] * grid[1])).resize(size, Image.Resampling.BICUBIC)
        made = Image.blend(made, layer, 0.62 / (octave + 1) if octave else 1)
    return made


def _clouds(sky: Image, chance: random.Random) -> None:
    """Long evening clouds, lit from below: thin above, warm near the horizon."""
    from PIL import Image, ImageChops

    veil = _mist(sky.size, (3, 9), 5, chance).point(
        [min(255, max(0, round((step - 118) * 2.6))) for step in range(256)]
    )
    band = (
        Image.linear_gradient("L")
        .resize(sky.size)
        .point([round(230 * math.sin(math.pi * (step / 255) ** 0.8)) for step in range(256)])
    )
    lit = _gradient(
        sky.size, ((0.0, (120, 128, 168)), (0.45, (226, 168, 168)), (0.8, (255, 208, 160)), (1.0, (255, 226, 180)))
    )
    sky.paste(lit, mask=ImageChops.multiply(veil, band))


def _sun(sky: Image, width: int, height: int) -> None:
    """A wide glow, a narrow one, and the disc."""
    from PIL import Image, ImageOps

    glow = ImageOps.invert(Image.radial_gradient("L"))
    for radius, colour, strength in (
        (1.3, (255, 190, 120), 0.62),
        (0.5, (255, 224, 160), 0.9),
        (0.1, (255, 252, 236), 3.2),
    ):
        side = max(2, round(width * radius * 2))
        mask = glow.point(
            [min(255, round(255 * strength * (max(0, step - 76) / 179) ** 2)) for step in range(256)]
        ).resize((side, side))
        at = (round(width * _SUN[0]) - side // 2, round(height * _SUN[1]) - side // 2)
        sky.paste(Image.new("RGB", (side, side), colour), at, mask)


def _ridges(land: Image, width: int, shore: int, chance: random.Random) -> None:
    """Mountains far away in the haze, then hills, then woods at the water; nearer is darker and rougher."""
    from PIL import Image, ImageDraw, ImageFilter

    layers = (
        # base and swing as shares of the height above water, roughness, colour at the top, colour at the foot
        (0.26, 0.13, 0.25, (150, 136, 168), (224, 176, 156)),
        (0.19, 0.09, 0.35, (112, 108, 146), (200, 158, 148)),
        (0.12, 0.06, 0.45, (74, 82, 112), (150, 128, 128)),
        (0.065, 0.035, 0.6, (42, 58, 72), (92, 88, 92)),
        (0.022, 0.016, 1.0, (18, 30, 34), (34, 42, 42)),
    )
    for base, swing, roughness, top, foot in layers:
        mask = Image.new("L", land.size, 0)
        line = _ridge(width, roughness, chance)
        heights = [shore - shore * (base + swing * value) for value in line]
        ImageDraw.Draw(mask).polygon([(0, shore), *enumerate(heights), (width, shore)], fill=255)
        crest = max(0, min(round(min(heights)), shore - 1))
        slope = _gradient((width, shore - crest), ((0.0, top), (1.0, foot)))
        texture = _mist(slope.size, (24, 12), 4, chance).convert("RGB")
        slope = Image.blend(slope, Image.blend(slope, texture, 0.35).filter(ImageFilter.SMOOTH), 0.25 * roughness)
        land.paste(slope, (0, crest), mask.crop((0, crest, width, shore)))


def _ridge(width: int, roughness: float, chance: random.Random) -> list[float]:
    """A skyline from -1 to 1 with a value for each column: waves of falling length."""
    waves = [
        (
            1 / (octave**1.25 if octave < 6 else octave ** (1.6 - 0.5 * roughness)),
            octave,
            chance.uniform(0, 2 * math.pi),
        )
        for octave in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233)
    ]
    total = sum(strength for strength, _, _ in waves[:5])
    step = 2 * math.pi / max(1, width) * 0.8
    return [sum(s * math.sin(step * n * x + phase) for s, n, phase in waves) / total for x in range(width)]


def _water(mirror: Image, width: int, height: int, chance: random.Random) -> Image:
    """The flipped land, stretched, darkened towards the viewer and broken by ripples."""
    from PIL import Image, ImageChops, ImageFilter

    water = mirror.resize((width, max(1, height)), box=(0, 0, width, min(mirror.height, height * 1.25)))
    water = water.filter(ImageFilter.BoxBlur(max(1, width // 300)))
    deep = _gradient(water.size, ((0.0, (150, 130, 140)), (0.35, (70, 84, 118)), (1.0, (14, 26, 52))))
    depth = Image.linear_gradient("L").resize(water.size).point([round(70 + 120 * step / 255) for step in range(256)])
    water.paste(deep, mask=depth)
    glitter = _path(water.size)
    for light, cells, strength in (((255, 216, 160), (22, 170), 4.2), ((10, 18, 40), (9, 80), 2.0)):
        waves = _in_perspective(_mist(water.size, cells, 2, chance))
        mask = waves.point([min(255, max(0, round((step - 142) * strength))) for step in range(256)])
        mask = ImageChops.multiply(mask, glitter) if strength > 3 else mask
        water.paste(Image.new("RGB", water.size, light), mask=mask)
    return water


def _in_perspective(sheet: Image) -> Image:
    """A texture laid on the water: small and dense at the horizon, four times as large at the viewer's feet."""
    from PIL import Image

    width, height = sheet.size
    shrink, centre = 3 / height, width / 2
    matrix = (1, centre * shrink, 0, 0, 4, 0, 0, shrink)
    return sheet.transform(sheet.size, Image.Transform.PERSPECTIVE, matrix, Image.Resampling.BILINEAR)


def _path(size: tuple[int, int]) -> Image:
    """Where the sun glitters on the water: a column below it that widens towards the viewer; L."""
    from PIL import Image, ImageDraw, ImageFilter

    width, height = size
    mask, centre = Image.new("L", size, 26), width * _SUN[0]
    near, far = width * 0.24, width * 0.07
    ImageDraw.Draw(mask).polygon(
        [(centre - far, 0), (centre + far, 0), (centre + near, height), (centre - near, height)], fill=235
    )
    return mask.filter(ImageFilter.BoxBlur(max(1, width // 12)))


def _reeds(image: Image, chance: random.Random) -> None:
    """Dark blades in the lower corners, bent by the wind."""
    from PIL import ImageDraw

    width, height = image.size
    draw = ImageDraw.Draw(image)
    for _ in range(420):
        left = chance.random() < 0.7
        x = abs(chance.gauss(0, 0.17)) * width if left else width - abs(chance.gauss(0, 0.08)) * width
        edge = 1 - (x / width if left else (width - x) / width) * 2.2
        tall = height * chance.uniform(0.05, 0.24) * max(0.15, edge)
        lean, thick = width * chance.uniform(-0.02, 0.05), max(1, round(width / 520))
        shade = chance.randint(6, 26)
        points = [(x + lean * (part / 6) ** 2, height - tall * part / 6) for part in range(7)]
        draw.line(points, fill=(shade, shade + 8, shade + 6), width=thick)


_GRAIN = 9
"""The grain reaches this many levels up and down."""


def _grain(size: tuple[int, int], chance: random.Random) -> Image:
    """Noise from 0 to twice _GRAIN in each channel, laid in tiles: RGB."""
    from PIL import Image

    side = 768
    levels = [round(step / 255 * 2 * _GRAIN) for step in range(256)] * 3
    tile = Image.frombytes("RGB", (side, side), chance.randbytes(3 * side * side)).point(levels)
    grain = Image.new("RGB", size)
    for top in range(0, size[1], side):
        for left in range(0, size[0], side):
            grain.paste(tile, (left, top))
    return grain


def _exif() -> Exif:
    from PIL.Image import Exif
    from PIL.TiffImagePlugin import IFDRational

    tags = Exif()
    tags.update({0x010F: "imgpipe", 0x0110: "Sample", 0x0112: 6, 0x0131: "imgpipe", 0x0132: "2024:06:21 20:47:13"})
    tags.get_ifd(0x8769).update(
        {
            0x829A: IFDRational(1, 250),
            0x829D: IFDRational(28, 10),
            0x8827: 100,
            0x9003: "2024:06:21 20:47:13",
            0x9011: "+02:00",
            0x920A: IFDRational(26),
            0xA434: "Sample 26mm f/2.8",
        }
    )
    # A place, so that everybody can see that no output knows it.
    tags.get_ifd(0x8825).update({1: "N", 2: (46.0, 21.0, 49.0), 3: "E", 4: (14.0, 5.0, 37.0)})
    return tags
