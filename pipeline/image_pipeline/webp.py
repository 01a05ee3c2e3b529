"""Still WebP pictures by libwebp itself, from Pillow's own wheel: without the canvases of its animation decoder.

Pillow decodes every WebP as an animation, on three canvases of 4 bytes a pixel. libwebp decodes a still picture
straight into one buffer, and a lossy one at a smaller size. It is called through ctypes, and only where it passes a
test when the first WebP comes; else Pillow does the work.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import Any

import PIL
from PIL import Image

from image_pipeline.buffers import buffer_of, image_over

_ABI = 0x0209
"""WEBP_DECODER_ABI_VERSION of libwebp 1.x: the library refuses another major version than its own."""

_RGBA = 1  # WEBP_CSP_MODE
_LOSSY = 1  # WebPBitstreamFeatures.format
_SPARE = 2
"""A lossy picture is decoded at this many times the size that is wanted: libwebp averages areas, Lanczos does the
rest, and nothing of it is to be seen."""

_PIXEL = bytes.fromhex("524946461a000000574542505650384c0d0000002f00000010071011118888fe0700")
"""A picture of one transparent pixel, to see whether the library does what is expected of it."""


class _Features(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("width", "height", "has_alpha", "has_animation", "format")),
        ("pad", ctypes.c_uint32 * 5),
    )


class _Pixels(ctypes.Structure):
    _fields_ = (("rgba", ctypes.c_void_p), ("stride", ctypes.c_int), ("size", ctypes.c_size_t))


class _Planes(ctypes.Structure):
    """Never used: it is the larger half of a union."""

    _fields_ = (
        ("planes", ctypes.c_void_p * 4),
        ("strides", ctypes.c_int * 4),
        ("sizes", ctypes.c_size_t * 4),
    )


class _Either(ctypes.Union):
    _fields_ = (("pixels", _Pixels), ("planes", _Planes))


class _Output(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("colorspace", "width", "height", "is_external_memory")),
        ("u", _Either),
        ("pad", ctypes.c_uint32 * 4),
        ("private_memory", ctypes.c_void_p),
    )


class _Options(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("bypass_filtering", "no_fancy_upsampling", "use_cropping")),
        *((name, ctypes.c_int) for name in ("crop_left", "crop_top", "crop_width", "crop_height")),
        *((name, ctypes.c_int) for name in ("use_scaling", "scaled_width", "scaled_height", "use_threads")),
        *((name, ctypes.c_int) for name in ("dithering_strength", "flip", "alpha_dithering_strength")),
        ("pad", ctypes.c_uint32 * 5),
    )


class _Config(ctypes.Structure):
    _fields_ = (("input", _Features), ("output", _Output), ("options", _Options))


def is_here() -> bool:
    """Whether still pictures can be decoded without Pillow's canvases."""
    return _library() is not None


def decode_still(data: bytes, size: tuple[int, int], wanted: tuple[int, int]) -> Image.Image | None:
    """The picture of `size` in `data` as RGB or RGBA; a lossy one without alpha at twice `wanted`, where that is less.

    None where it is an animation or another size, or the library is not here. Raises OSError, as Pillow does, for a
    picture that cannot be decoded.
    """
    library = _library()
    return None if library is None else _decode(library, data, size, wanted)


def _decode(library: Any, data: bytes, size: tuple[int, int], wanted: tuple[int, int]) -> Image.Image | None:
    config = _Config()
    if not library.WebPInitDecoderConfigInternal(config, _ABI):
        return None
    found = config.input
    status = library.WebPGetFeaturesInternal(data, len(data), found, _ABI)
    if status:
        raise OSError(f"libwebp ended with status {status}")
    if found.has_animation or (found.width, found.height) != size:
        return None
    if found.format == _LOSSY and not found.has_alpha and size[0] > _SPARE * wanted[0]:
        size = (_SPARE * wanted[0], min(size[1], _SPARE * wanted[1]))
        config.options.use_scaling = 1
        config.options.scaled_width, config.options.scaled_height = size
    width, height = size
    buffer = buffer_of(4 * width * height)
    output = config.output
    output.colorspace, output.is_external_memory = _RGBA, 1
    pixels = (ctypes.c_char * len(buffer)).from_buffer(buffer)
    output.u.pixels = _Pixels(ctypes.addressof(pixels), 4 * width, len(buffer))
    status = library.WebPDecode(data, len(data), config)
    library.WebPFreeDecBuffer(output)
    del pixels
    if status:
        raise OSError(f"libwebp ended with status {status}")
    return image_over(buffer, size, "RGBA" if found.has_alpha else "RGB")


@lru_cache(maxsize=1)
def _library() -> Any:
    """libwebp as Pillow's wheel for this machine has it, or None where there is none that passes the test."""
    home = Path(PIL.__file__).parent
    found = [*home.parent.glob("pillow.libs/libwebp-*.so*"), *home.glob(".dylibs/libwebp.*dylib")]
    if len(found) != 1:
        return None
    try:
        library = ctypes.CDLL(str(found[0]))
        library.WebPInitDecoderConfigInternal.argtypes = (ctypes.POINTER(_Config), ctypes.c_int)
        library.WebPGetFeaturesInternal.argtypes = (
            *(ctypes.c_char_p, ctypes.c_size_t),
            *(ctypes.POINTER(_Features), ctypes.c_int),
        )
        library.WebPDecode.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(_Config))
        library.WebPFreeDecBuffer.argtypes = (ctypes.POINTER(_Output),)
        library.WebPFreeDecBuffer.restype = None
        image = _decode(library, _PIXEL, (1, 1), (1, 1))
    except (OSError, AttributeError):
        return None
    return library if image is not None and image.mode == "RGBA" and image.tobytes()[3] == 0 else None
