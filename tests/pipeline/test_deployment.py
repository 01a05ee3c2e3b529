"""What ships runs with nothing beside it but the libraries that travel with it."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imgpipe.stack.bundle import source_bundle
from imgpipe.stack.wheels import LIBRARIES

RESIZER = ("cykooz-resizer",)
OTHERS = tuple(name for name in LIBRARIES if name not in RESIZER)

PROGRAM = """
import sys
import image_pipeline.handler
from image_pipeline.renditions import render
from image_pipeline.settings import Recipe
from PIL import Image
from io import BytesIO

picture = BytesIO()
Image.linear_gradient("L").convert("RGB").resize((1600, 1200)).save(picture, "JPEG")
made = render(picture.getvalue(), Recipe())
print([(one.name, one.width, one.height) for one in (*made.renditions, made.thumbnail)])
print("cykooz_resizer" in sys.modules, "imgpipe" in sys.modules, "typer" in sys.modules)
"""


def installed(folder: Path, distributions: tuple[str, ...]) -> Path:
    """A folder that holds these distributions and no others."""
    folder.mkdir()
    for name in distributions:
        files = importlib.metadata.distribution(name).files or []
        for top in {file.parts[0] for file in files if ".." not in file.parts}:
            target = folder / top
            if not target.exists():
                target.symlink_to(Path(str(importlib.metadata.distribution(name).locate_file(top))))
    return folder


@pytest.mark.parametrize("resizer", [RESIZER, ()], ids=["with the SIMD resizer", "without it"])
def test_the_bundle_runs_on_its_own(tmp_path: Path, resizer: tuple[str, ...]) -> None:
    bundle = tmp_path / "code.zip"
    bundle.write_bytes(source_bundle().data)
    site = installed(tmp_path / "site", (*OTHERS, *resizer))
    names = ("STACK", "ACCOUNT", "INPUT_BUCKET", "RESIZED_BUCKET", "THUMBNAILS_BUCKET", "TABLE")
    environment = {f"IMGPIPE_{name}": "x" for name in names} | {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join([str(bundle), str(site)]),
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    # -S: without the environment's own site-packages.
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[('1024', 1024, 768), ('512', 512, 384), ('128', 128, 96), ('64', 64, 64)]",
        f"{bool(resizer)} False False",
    ]
