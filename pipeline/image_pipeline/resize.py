"""Resizing with a Lanczos filter, and the premultiplied alpha it needs: the one place that knows two implementations.

cykooz-resizer does it with SIMD instructions, 5 to 9 times faster than Pillow. It reads Pillow's private image
struct, so it is used only where a test against Pillow passes when this module is imported; else Pillow does the work.
"""

from __future__ import annotations

from collections.abc import Callable

import PIL
from PIL import Image, ImageChops, ImageStat

Extent = tuple[float, float, float, float]
"""Left, top, right and bottom edge, in pixels; fractions are meant."""

_Resize = Callable[[Image.Image, tuple[int, int], Extent], Image.Image]
_Alpha = Callable[[Image.Image], Image.Image]


def lanczos(image: Image.Image, size: tuple[int, int], extent: Extent | None = None) -> Image.Image:
    """The part of `image` within `extent` (all of it by default) at `size`; `info` of the result is empty.

    The mode is L, RGB, RGBa or CMYK: colours under alpha must be premultiplied, or they bleed into the edges.
    """
    return _resize(image, size, extent or (0, 0, *image.size))


def premultiply(image: Image.Image) -> Image.Image:
    """An RGBA image as RGBa. The image passed may be changed, so that no second copy of it is needed."""
    return _premultiply(image)


def unmultiply(image: Image.Image) -> Image.Image:
    """An RGBa image as RGBA, a new image."""
    return _unmultiply(image)


def _pillow_resize(image: Image.Image, size: tuple[int, int], extent: Extent) -> Image.Image:
    made = image.resize(size, Image.Resampling.LANCZOS, box=extent)
    made.info = {}
    return made


def _pillow_premultiply(image: Image.Image) -> Image.Image:
    return image.convert("RGBa")


def _pillow_unmultiply(image: Image.Image) -> Image.Image:
    return image.convert("RGBA")


def _simd() -> tuple[_Resize, _Alpha, _Alpha] | None:
    """cykooz-resizer's implementations, or None where it is missing or does not agree with Pillow."""
    if PIL.__version__.split(".")[0] != "13":
        return None  # its struct layout is known for this major version alone, and a wrong one is a crash
    try:
        from cykooz_resizer import AlphaMulDiv, CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer
    except ImportError:
        return None
    resizer, alpha, algorithm = Resizer(), AlphaMulDiv(), ResizeAlg.convolution(FilterType.lanczos3)

    def resize(image: Image.Image, size: tuple[int, int], extent: Extent) -> Image.Image:
        left, top, right, bottom = extent
        made = Image.new(image.mode, size, None)  # every pixel will be written
        box = CropBox(left, top, right - left, bottom - top)
        resizer.resize_pil(image, made, ResizeOptions(algorithm, crop_box=box))
        return made

    def multiply(image: Image.Image) -> Image.Image:
        alpha.multiply_alpha_pil_inplace(image)
        return image

    def divide(image: Image.Image) -> Image.Image:
        straight: Image.Image = alpha.divide_alpha_pil(image)
        return straight

    return (resize, multiply, divide) if _agrees(resize, multiply, divide) else None


def _agrees(resize: _Resize, multiply: _Alpha, divide: _Alpha) -> bool:
    """Whether every mode comes out as Pillow makes it, within the rounding of fixed-point arithmetic."""
    ramp = Image.linear_gradient("L").resize((83, 61))
    tiles = Image.merge(
        "RGBA", (ramp, ramp.rotate(90), ramp.rotate(180), ramp.transpose(Image.Transpose.TRANSPOSE).resize(ramp.size))
    )
    extent = (0.0, 0.5, 82.5, 61.0)
    try:
        for mode in ("L", "RGB", "RGBa", "CMYK"):
            image = tiles.convert("L") if mode == "L" else _relabelled(tiles, mode)
            if not _close(resize(image, (31, 23), extent), _pillow_resize(image, (31, 23), extent)):
                return False
        premultiplied = _pillow_premultiply(tiles)
        return _close(multiply(tiles.copy()), premultiplied) and _close(
            divide(premultiplied), _pillow_unmultiply(premultiplied)
        )
    except Exception:
        # Whatever another version of it raises, Pillow can do the work.
        return False


def _relabelled(image: Image.Image, mode: str) -> Image.Image:
    return Image.frombytes(mode, image.size, image.convert("RGB").tobytes() if mode == "RGB" else image.tobytes())


def _close(one: Image.Image, other: Image.Image) -> bool:
    if one.mode != other.mode or one.size != other.size:
        return False
    plain = [
        Image.frombytes("RGBX", image.size, image.tobytes()) if image.mode in ("RGBa", "RGBA", "CMYK") else image
        for image in (one, other)
    ]
    difference = ImageStat.Stat(ImageChops.difference(*plain))
    return max(difference.mean) < 1.5


_resize, _premultiply, _unmultiply = _simd() or (_pillow_resize, _pillow_premultiply, _pillow_unmultiply)
