"""How near the pictures come to the best that could be made: PSNR and SSIM against a Lanczos of the full decode.

Run as a program by the Python that has numpy. stdin: JSON {"photo", "outputs": {contender: folder}} of a photograph;
stdout: {contender: {size: [psnr, ssim]}}. Everything is compared in sRGB, with whatever profile a file carries
applied; transparency is laid on grey.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks.contenders.worker import COVER, JPEG_QUALITY, WEBP_METHOD, WEBP_QUALITY

Scores = dict[str, dict[str, list[float]]]
"""By contender and size: PSNR in dB, SSIM."""


def psnr(one: Any, other: Any) -> float:
    """In dB, of two arrays of 0 to 255 with the same shape; infinite where they are equal."""
    import numpy as np

    error = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def ssim(one: Any, other: Any) -> float:
    """Of two arrays of luma, 0 to 255: Gaussian window of 11 with sigma 1.5, the mean where it lies wholly inside."""
    first, second = one.astype("float32"), other.astype("float32")
    mean_1, mean_2 = _blurred(first), _blurred(second)
    variance_1 = _blurred(first * first) - mean_1**2
    variance_2 = _blurred(second * second) - mean_2**2
    covariance = _blurred(first * second) - mean_1 * mean_2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = (2 * mean_1 * mean_2 + c1) * (2 * covariance + c2)
    return float((likeness / ((mean_1**2 + mean_2**2 + c1) * (variance_1 + variance_2 + c2))).mean())


def _blurred(plane: Any) -> Any:
    weights = [math.exp(-(offset**2) / (2 * 1.5**2)) for offset in range(-5, 6)]
    total = sum(weights)
    height, width = plane.shape[0] - 10, plane.shape[1] - 10
    across = sum(plane[:, at : at + width] * (weight / total) for at, weight in enumerate(weights))
    return sum(across[at : at + height] * (weight / total) for at, weight in enumerate(weights))


def in_srgb(image: Any) -> Any:
    """RGB in sRGB of a picture with whatever mode and profile."""
    from PIL import Image, ImageCms

    profile = image.info.get("icc_profile")
    if image.mode not in ("RGB", "RGBA", "CMYK"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, (128, 128, 128, 255)), image).convert("RGB")
    if profile:
        own = ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return image.convert("RGB")


def scores(photo: Path, outputs: dict[str, Path]) -> Scores:
    """Every output in the contenders' folders against the reference at exactly its own size."""
    import numpy as np
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    whole = Image.open(photo)
    profile = whole.info.get("icc_profile")
    whole = _loaded(whole)
    references: dict[tuple[str, tuple[int, int]], list[tuple[Any, float]]] = {}
    made: Scores = {}
    for contender, folder in outputs.items():
        for path in sorted(folder.iterdir()):
            image = in_srgb(Image.open(path))
            key = (path.stem, image.size)
            if key not in references:
                references[key] = _with_handicaps(_references(whole, profile, *key), path.suffix)
            pixels = np.asarray(image)
            likeness, handicap, reference = max(
                ((psnr(pixels, one), handicap, one) for one, handicap in references[key]), key=lambda scored: scored[0]
            )
            score = [likeness - handicap, ssim(_luma(pixels), _luma(reference))]
            made.setdefault(contender, {})[path.stem] = score
    return made


def _with_handicaps(references: Iterator[Any], suffix: str) -> list[tuple[Any, float]]:
    """Pixels of each reference, and by how many dB it survives encoding better than the first does.

    A cut-out beside the centre is another picture; that it may be easier to encode is nobody's merit.
    """
    import numpy as np
    from PIL import Image

    made = []
    for reference in references:
        plain = reference if reference.mode != "CMYK" else in_srgb(reference)
        file, icc = BytesIO(), plain.info.get("icc_profile")
        if suffix == ".webp":
            plain.save(file, "WEBP", quality=WEBP_QUALITY, method=WEBP_METHOD, icc_profile=icc)
        else:
            plain = plain.convert("RGB")
            plain.save(file, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0", icc_profile=icc)
        pixels = np.asarray(in_srgb(reference))
        made.append((pixels, psnr(np.asarray(in_srgb(Image.open(file))), pixels)))
    return [(pixels, survives - made[0][1]) for pixels, survives in made]


def _luma(pixels: Any) -> Any:
    return pixels @ [0.299, 0.587, 0.114]


def _loaded(image: Any) -> Any:
    """All pixels, upright, in a mode that can be resized."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.convert("RGBa") if image.mode == "RGBA" else image


def _references(whole: Any, profile: bytes | None, name: str, size: tuple[int, int]) -> Iterator[Any]:
    """What a perfect picture of this size looks like, in its own colours; three of a cut-out.

    Some cut by whole pixels of the small picture, half a pixel beside the centre, and that is no fault.
    """
    box = (0.0, 0.0, float(whole.width), float(whole.height))
    if name != str(COVER):
        yield _resized(whole, profile, size, box)
        return
    side = min(whole.size)
    left, top = (whole.width - side) / 2, (whole.height - side) / 2
    for shift in (0.0, -0.5, 0.5):
        beside = shift * side / COVER
        x = left + beside if whole.width > side else left
        y = top + beside if whole.height > side else top
        yield _resized(whole, profile, size, (x, y, x + side, y + side))


def _resized(whole: Any, profile: bytes | None, size: tuple[int, int], box: tuple[float, ...]) -> Any:
    from PIL import Image

    image = whole.resize(size, Image.Resampling.LANCZOS, box=box)
    if image.mode == "RGBa":
        image = image.convert("RGBA")
    image.info = {"icc_profile": profile} if profile else {}
    return image


if __name__ == "__main__":
    job = json.load(sys.stdin)
    json.dump(scores(Path(job["photo"]), {name: Path(folder) for name, folder in job["outputs"].items()}), sys.stdout)
