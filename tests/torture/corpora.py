"""Other people's test pictures, fetched once into the user's cache folder; nothing of them is in this repository."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

PILLOW = "13.0.0"
PILLOW_SHA256 = "cdcd1ba258178f7356d74170c9a81ba4eab6a5d55748bc402a5a2a6fe6be3510"
"""The release whose test images are used, whichever one is installed: what is READY is frozen for these files."""


class MissingError(Exception):
    """A collection that cannot be had here; the message says why."""


def pillow() -> Path:
    """The folder of Pillow's test files, and of all other images in its source distribution; raises MissingError."""
    images = (".png", ".jpg", ".gif", ".webp")
    return _fetched(f"pillow-{PILLOW}", _pillow_archive, lambda name: "/Tests/images/" in name or name.endswith(images))


def libpng() -> Path:
    """The folder of PngSuite and libpng's own test images, from Debian's sources; raises MissingError."""
    return _fetched("libpng", _libpng_archive, lambda name: "/contrib/" in name and name.endswith(".png"))


def _fetched(name: str, fetch: Callable[[Path], Path], wanted: Callable[[str], bool]) -> Path:
    """The files of an archive that are `wanted`, unpacked; the archive itself is not kept."""
    folder = platformdirs.user_cache_path("imgpipe") / "test-pictures" / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that the last step is one rename: what bears the name is whole.
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "unpacked"
        with tarfile.open(fetch(Path(scratch))) as archive:
            members = [one for one in archive if one.isfile() and wanted(one.name)]
            archive.extractall(made, members, filter="data")
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another run was quicker
                raise
    return folder


def _pillow_archive(scratch: Path) -> Path:
    """Pillow's source distribution, by pip, its hash checked."""
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "pillow", "--dest", str(scratch)]
    _run([*pip, f"pillow=={PILLOW}"], scratch)
    archive = next(scratch.glob("pillow-*.tar.gz"))
    if hashlib.sha256(archive.read_bytes()).hexdigest() != PILLOW_SHA256:
        raise MissingError(f"{archive.name} is not the one whose images are known: its hash is another")
    return archive


def _libpng_archive(scratch: Path) -> Path:
    """libpng's source archive, by apt, which checks it against Debian's signature.

    apt works on lists of its own in `scratch`, where the sources of packages are switched on and nobody needs root.
    """
    if not shutil.which("apt-get"):
        raise MissingError("there is no apt-get here")
    machine = Path("/etc/apt")
    for source in (machine / "sources.list", *sorted((machine / "sources.list.d").glob("*"))):
        if source.is_file() and source.suffix in (".list", ".sources"):
            text = re.sub(r"^deb\s", "deb-src ", source.read_text(), flags=re.M)
            text = re.sub(r"^Types:.*$", "Types: deb-src", text, flags=re.M)
            (scratch / "sources" / source.name).parent.mkdir(exist_ok=True)
            (scratch / "sources" / source.name).write_text(text)
    for folder in ("lists/partial", "cache/archives/partial"):
        (scratch / folder).mkdir(parents=True)
    (scratch / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "{scratch}/sources";\n'
        f'Dir::State::lists "{scratch}/lists";\nDir::Cache "{scratch}/cache";\n'
        f'APT::Sandbox::User "";\nAcquire::Languages "none";\nAcquire::http::Timeout "20";\n'
    )
    apt = ["env", f"APT_CONFIG={scratch}/apt.conf", "apt-get", "-qq"]
    _run([*apt, "update"], scratch)
    _run([*apt, "source", "--download-only", "--tar-only", "libpng1.6"], scratch)
    return next(scratch.glob("libpng1.6_*.orig.tar.*"))


def _run(command: list[str], folder: Path) -> None:
    """Run a package client; raises MissingError with its last words."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_RETRIES": "1"}
    try:
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        raise MissingError("the package client took more than 5 minutes") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip() or error.stdout.strip() or "no word").splitlines()[-1]
        raise MissingError(f"the package client said: {last}") from None
