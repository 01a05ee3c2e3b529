"""Damages pictures at random until one breaks the pipeline: run by scripts/fuzz.

With atheris, inputs that reached new code of ours or of Pillow's plugins are damaged further; without it, all damage is
done to the same pictures. Each input may take 1 GB and 20 s of CPU time.
"""

from __future__ import annotations

import hashlib
import resource
import signal
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pictures
from PIL import Image
from torture.planted import PLANTED

FINDINGS = Path("build/fuzz")

MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "RGBA", "CMYK", "LAB", "I;16", "F"),
    "WEBP": ("RGB", "RGBA"),
    "AVIF": ("L", "RGBA"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("L", "P"),
    "JPEG": ("L", "RGB", "CMYK"),
}
PACKINGS = {"tiff_lzw": "RGB", "tiff_adobe_deflate": "RGB", "packbits": "RGB", "jpeg": "RGB", "group4": "1"}


def seeds() -> list[bytes]:
    """Small pictures of every format, mode and packing, and some that are full of metadata."""
    small = pictures.scene(24, 16)
    made = [make() for make in PLANTED.values()]
    for form, modes in MODES.items():
        for mode in modes:
            image = small.convert("L") if mode in ("I;16", "F") else small
            made.append(pictures.saved(image.convert(mode), form))
    made += [pictures.saved(small.convert(mode), "TIFF", compression=name) for name, mode in PACKINGS.items()]
    made.append(pictures.saved(small, "JPEG", progressive=True))
    two = {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}
    # A picture that was saved as JPEG remembers it, and breaks Pillow's TIFF.
    return made + [
        pictures.saved(pictures.scene(24, 16), form, **two) for form in ("GIF", "PNG", "WEBP", "AVIF", "TIFF")
    ]


def check(data: bytes) -> str:
    """What becomes of one input; raises AssertionError for anything but READY or a refusal, and keeps the input."""
    from torture.worker import CPU_SECONDS, verdict

    from image_pipeline.record import Refusal

    # Written first, for a decoder may take the process along.
    place = FINDINGS / hashlib.sha256(data).hexdigest()[:16]
    place.write_bytes(data)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    found = verdict(data)
    signal.setitimer(signal.ITIMER_PROF, 0)
    assert found == "READY" or found in list(Refusal), f"{place}: {found}"
    place.unlink()
    return found


def blindly(seconds: float, seed: int) -> None:
    random, pool, counts = Random(seed), seeds(), Counter[str]()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        counts[check(pictures.wrecked(random.choice(pool), random))] += 1
    print(f"{counts.total()} inputs:", dict(counts.most_common()))  # noqa: T201


def guided(seconds: float, seed: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["image_pipeline", "PIL"]):
        import torture.worker  # noqa: F401

    def damaged(data: bytes, longest: int, number: int) -> bytes:
        return pictures.wrecked(bytes(data), Random(number))[:longest]

    def one(data: bytes) -> None:
        check(data)

    with TemporaryDirectory() as corpus:
        for number, data in enumerate(seeds()):
            (Path(corpus) / str(number)).write_bytes(data)
        limits = [f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=100000", "-rss_limit_mb=0"]
        atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={FINDINGS}/", corpus], one, custom_mutator=damaged)
        atheris.Fuzz()


if __name__ == "__main__":
    seconds, seed = int(sys.argv[1]), int(sys.argv[2])
    led = find_spec("atheris") is not None
    print(f"{seconds} seconds, seed {seed}, {'led by atheris' if led else 'blindly'}", flush=True)  # noqa: T201
    FINDINGS.mkdir(parents=True, exist_ok=True)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    (guided if led else blindly)(seconds, seed)
