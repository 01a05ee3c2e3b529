"""What the tests of the bundle share: zips in pieces, and a Python that is like Lambda's."""

from __future__ import annotations

import functools
import io
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from imgpipe.stack.bundle import ARCHITECTURES, LambdaBundle, lambda_bundle
from imgpipe.stack.wheels import cache_folder

PYTHON = "3.13"


@functools.cache
def built(architecture: str) -> LambdaBundle:
    """The bundle for an architecture. Its wheels stay in this user's cache, as they do for a user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("IMGPIPE_HOME", raising=False)
        return lambda_bundle(architecture, PYTHON, silent)


def cached_below(home: Path) -> Path:
    """A copy of the cached wheels of both architectures, and of what was compiled, where IMGPIPE_HOME=`home` looks."""
    for architecture in ARCHITECTURES:
        built(architecture)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("IMGPIPE_HOME", raising=False)
        source = cache_folder()
        patch.setenv("IMGPIPE_HOME", str(home))
        for architecture in ARCHITECTURES:
            folder = f"{architecture}-python{PYTHON}"
            shutil.copytree(source / folder, cache_folder() / folder)
        for compiled in source.glob("*.bytecode"):
            shutil.copy(compiled, cache_folder())
        return cache_folder()


def silent(_: str) -> None:
    """Progress that nobody watches."""


def contents(data: bytes) -> dict[str, bytes]:
    """Path -> bytes of a zip."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip of these files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def python_like_lambdas() -> str | None:
    """The folder of a Python of Lambda's version on an x86_64 Linux, None where there is none."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return None
    installed = sorted(map(str, Path.home().glob(f".pyenv/versions/{PYTHON}.*/bin/python{PYTHON}")))
    for candidate in (shutil.which(f"python{PYTHON}"), *installed):
        # A shim may be there for a version that is not.
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(Path(candidate).parent)
    return None
