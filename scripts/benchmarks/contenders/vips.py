"""libvips as an expert uses it from Python: it decodes at the scale that serves, once, and the sizes follow in a chain.

A small profile goes along untouched, as it does in imgpipe; a CMYK picture is converted.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pyvips

from benchmarks.contenders.worker import COVER, JPEG_QUALITY, WEBP_METHOD, WEBP_QUALITY, Outputs, serve

pyvips.cache_set_max(0)
_SMALL_PROFILE = 4096


def work(data: bytes, form: str) -> Outputs:
    hashlib.sha256(data).hexdigest()
    header = pyvips.Image.new_from_buffer(data, "")
    long_side = max(header.width, header.height)
    options: dict[str, Any] = {"height": 1024, "size": "down"}
    if header.interpretation == "cmyk":
        options["output_profile"] = "srgb"
    first = pyvips.Image.thumbnail_buffer(data, 1024, **options)
    profile = "icc-profile-data" in first.get_fields() and len(first.get("icc-profile-data")) <= _SMALL_PROFILE
    first = first.copy_memory()
    second = first.thumbnail_image(512, height=512, size="down").copy_memory()
    third = second.thumbnail_image(128, height=128, size="down")
    outputs = {"1024": first, "512": second, "128": third}
    if long_side >= 1024:
        outputs[str(COVER)] = second.thumbnail_image(COVER, height=COVER, crop="centre")
    return {name: _encode(image, form, profile) for name, image in outputs.items()}


def _encode(image: Any, form: str, profile: bool) -> bytes:
    keep = "icc" if profile else "none"
    if form == "jpeg":
        made: bytes = image.jpegsave_buffer(Q=JPEG_QUALITY, optimize_coding=True, subsample_mode="on", keep=keep)
    else:
        made = image.webpsave_buffer(Q=WEBP_QUALITY, effort=WEBP_METHOD, keep=keep)
    return made


def versions() -> dict[str, str]:
    return {
        "pyvips": pyvips.__version__,
        "libvips": ".".join(str(pyvips.version(place)) for place in range(3)),
    }


if __name__ == "__main__":
    serve(work, versions)
