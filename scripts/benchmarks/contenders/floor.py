"""The floor for JPEG: the libjpeg-turbo that Pillow brings, called from C, decodes at the scale that serves and encodes
the four pictures that come out; and SHA-256 of the file. No resizing, no turning, no Python in between.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
from io import BytesIO

from PIL import Image, ImageOps

from benchmarks.contenders.worker import BOXES, COVER, JPEG_QUALITY, Outputs, serve

_floor = ctypes.CDLL(sys.argv[1])
_floor.floor_decode.argtypes = [ctypes.c_char_p, ctypes.c_ulong, ctypes.c_int]
_floor.floor_encode.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_int]
_floor.floor_encode.restype = ctypes.c_ulong

Pictures = dict[str, tuple[bytes, int, int]]
_prepared: dict[int, tuple[int, Pictures]] = {}
"""By the identity of a file's bytes: the denominator of the scale, and the pictures to encode."""


def work(data: bytes, form: str) -> Outputs:
    if form != "jpeg":
        raise ValueError("this is the floor for JPEG alone")
    hashlib.sha256(data).hexdigest()
    denominator, pictures = _prepared[id(data)]
    if _floor.floor_decode(data, len(data), denominator):
        raise ValueError("libjpeg cannot read it")
    sizes = {name: _floor.floor_encode(*picture, JPEG_QUALITY) for name, picture in pictures.items()}
    return {name: bytes(size) for name, size in sizes.items()}


def prepare(data: bytes) -> None:
    """Not part of the job: the scale that imgpipe decodes at, and the pixels of its pictures."""
    image = Image.open(BytesIO(data))
    whole = image.size
    wanted = min(1.0, 1024 / max(whole))
    image.draft("RGB", (round(whole[0] * wanted), round(whole[1] * wanted)))
    denominator = round(whole[0] / image.width)
    upright = ImageOps.exif_transpose(image).convert("RGB")
    made = {name: ImageOps.contain(upright, (min(box, max(whole)),) * 2) for name, box in BOXES.items()}
    if max(whole) >= 1024:
        made[str(COVER)] = ImageOps.fit(upright, (COVER, COVER))
    _prepared.clear()
    _prepared[id(data)] = denominator, {name: (one.tobytes(), *one.size) for name, one in made.items()}


def versions() -> dict[str, str]:
    return {}


if __name__ == "__main__":
    serve(work, versions, prepare=prepare)
