"""ImageMagick at its best: one process for all sizes, JPEG decoded at a scale, the sizes down a chain.

The arguments are the program and, where it was unpacked and not installed, the folder it lies in.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.contenders.worker import COVER, JPEG_QUALITY, WEBP_METHOD, WEBP_QUALITY, Outputs, serve

_PROGRAM = sys.argv[1]


def environment(folder: str | None) -> dict[str, str]:
    """What an unpacked ImageMagick needs to find its own libraries and settings."""
    made = dict(os.environ)
    if len(os.sched_getaffinity(0)) == 1:
        made["OMP_NUM_THREADS"] = "1"
    if folder:
        root = Path(folder)
        libraries = {str(path.parent) for path in root.rglob("*.so.*")}
        made["LD_LIBRARY_PATH"] = ":".join(sorted(libraries))
        for variable, pattern in (
            ("MAGICK_CODER_MODULE_PATH", "modules-Q16/coders"),
            ("MAGICK_CONFIGURE_PATH", "etc/ImageMagick-6"),
        ):
            found = [str(path) for path in root.rglob(pattern.split("/")[-1]) if str(path).endswith(pattern)]
            if found:
                made[variable] = found[0]
    return made


_ENVIRONMENT = environment(sys.argv[2] if len(sys.argv) > 2 else None)


def work(data: bytes, form: str) -> Outputs:
    hashlib.sha256(data).hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        _convert(data, form, folder)
        return {path.stem: path.read_bytes() for path in Path(folder).iterdir()}


def _convert(data: bytes, form: str, folder: str) -> None:
    encode = ["-quality", str(JPEG_QUALITY), "-sampling-factor", "4:2:0"]
    if form == "webp":
        encode = ["-quality", str(WEBP_QUALITY), "-define", f"webp:method={WEBP_METHOD}"]
    square = f"{COVER}x{COVER}"
    cover = ["-resize", square + "^", "-gravity", "center", "-extent", square, "-write", f"{folder}/{COVER}.{form}"]
    subprocess.run(
        [
            _PROGRAM, "-define", "jpeg:size=1024x1024", "-[0]", "-auto-orient", *encode,
            "-resize", "1024x1024>", "-write", f"{folder}/1024.{form}",
            "-resize", "512x512>", "-write", f"{folder}/512.{form}",
            "(", "+clone", *cover, "+delete", ")",
            "-resize", "128x128>", f"{folder}/128.{form}",
        ],
        input=data, env=_ENVIRONMENT, check=True, capture_output=True,
    )  # fmt: skip


def versions() -> dict[str, str]:
    told = subprocess.run([_PROGRAM, "-version"], env=_ENVIRONMENT, check=True, capture_output=True, text=True).stdout
    return {"ImageMagick": told.split()[2]}


if __name__ == "__main__":
    serve(work, versions)
