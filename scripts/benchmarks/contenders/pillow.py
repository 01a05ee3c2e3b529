"""Pillow as most people write it. Argument `thumbnail`: Image.thumbnail on a copy; `resize`: Image.resize of the whole.

The picture is opened once and turned upright, as its orientation asks, which decodes all of it; profiles are kept.
"""

from __future__ import annotations

import hashlib
import sys
from io import BytesIO
from typing import Any

from PIL import Image, ImageOps

from benchmarks.contenders.worker import BOXES, COVER, JPEG_QUALITY, WEBP_METHOD, WEBP_QUALITY, Outputs, serve

Image.MAX_IMAGE_PIXELS = None


def work(data: bytes, form: str) -> Outputs:
    hashlib.sha256(data).hexdigest()
    image: Image.Image = Image.open(BytesIO(data))
    icc = image.info.get("icc_profile") if image.mode != "CMYK" else None
    image = ImageOps.exif_transpose(image)
    if image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGBA" if form == "webp" else "RGB")
    shrink = _thumbnail if sys.argv[1] == "thumbnail" else _resize
    outputs = {name: _encode(shrink(image, box), form, icc) for name, box in BOXES.items()}
    if max(image.size) >= 1024:
        outputs[str(COVER)] = _encode(ImageOps.fit(image, (COVER, COVER), Image.Resampling.LANCZOS), form, icc)
    return outputs


def _thumbnail(image: Any, box: int) -> Any:
    made = image.copy()
    made.thumbnail((box, box), Image.Resampling.LANCZOS)
    return made


def _resize(image: Any, box: int) -> Any:
    scale = min(1, box / max(image.size))
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def _encode(image: Any, form: str, icc: bytes | None) -> bytes:
    file = BytesIO()
    if form == "jpeg":
        image.save(file, "JPEG", quality=JPEG_QUALITY, optimize=True, subsampling="4:2:0", icc_profile=icc)
    else:
        image.save(file, "WEBP", quality=WEBP_QUALITY, method=WEBP_METHOD, icc_profile=icc)
    return file.getvalue()


def versions() -> dict[str, str]:
    import PIL

    return {"Pillow": PIL.__version__}


if __name__ == "__main__":
    serve(work, versions)
