"""The libraries that the function imports, as wheels for its own platform: found in a cache, else downloaded."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from imgpipe.errors import ImgpipeError
from imgpipe.stack.archive import Entry
from imgpipe.targets.base import Progress

LIBRARIES = (
    *("pillow", "cykooz-resizer", "isal", "pyspng", "aws-lambda-powertools", "typing-extensions"),
    *("botocore", "urllib3", "jmespath", "python-dateutil", "six"),
)
"""What the handler imports, and what that imports. Lambda's runtime has a botocore, too: an older one, with everything
that AWS offers in it, of which the function would read a megabyte at every cold start."""

NO_WHEEL = {"arm64": ("cykooz-resizer",)}
"""Libraries without a wheel for an architecture; the function runs without them, and Pillow does their work."""

MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
"""Lambda's name of an architecture, and Linux's."""

NEWEST_GLIBC = 34
"""The runtimes from Python 3.12 on are Amazon Linux 2023, whose glibc is 2.34."""

_OLDEST_GLIBC = 17
_METADATA = re.compile(r"^[^/]+\.(dist-info|data)/")
_TESTS = re.compile(r"(^|/)tests?/")
_UNUSED = re.compile(
    r"""aws_lambda_powertools/ (event_handler/ | utilities/ (?!__init__|jmespath_utils|typing/))
    # Formats that the guard never lets through, and the drawing of text.
    |PIL/ (?! (Avif|Bmp|Gif|Jpeg|Mpo|Png|Ppm|Tiff|WebP)ImagePlugin\.) \w+ImagePlugin\.
    |pyspng/ (?!_pyspng_c\.) | isal/ (igzip(_threaded)?\.py | isa-l/(?!LICENSE))
    |PIL/ _imaging (ft|tk) \. | pillow\.libs/ lib (brotli|freetype|harfbuzz|png)
    |botocore/data/ (?! (_retry|endpoints|partitions|sdk-default-configuration) \.json
        |(dynamodb|s3|sqs) /[^/]+/ (service-2|endpoint-rule-set-1)\.)
    |urllib3/contrib/ (emscripten/|pyopenssl\.) | dateutil/zoneinfo/ .+ gz""",
    re.VERBOSE,
)
"""Files that the function has no use for: what is not there takes no time to unpack, and cannot be attacked."""


class DamagedError(Exception):
    """A wheel that does not hold what its own record says."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """One library: the file that it came in, and what a function needs of it."""

    name: str
    version: str
    file: str
    entries: tuple[Entry, ...]


def fetch(architecture: str, python: str, progress: Progress) -> list[Wheel]:
    """The wheels of LIBRARIES, in the versions that are installed here.

    Nothing is downloaded that the cache holds undamaged. Raises ImgpipeError where a library has no such wheel,
    nothing answers, or neither pip nor uv is there.
    """
    names = [name for name in LIBRARIES if name not in NO_WHEEL.get(architecture, ())]
    wanted = {name: installed_version(name) for name in names}
    cache = cache_folder() / f"{architecture}-python{python}"
    found = {name: _cached(cache, name, version) for name, version in wanted.items()}
    if missing := [name for name, wheel in found.items() if wheel is None]:
        progress("Downloading " + ", ".join(f"{name} {wanted[name]}" for name in missing))
        _download([f"{name}=={wanted[name]}" for name in missing], architecture, python, cache)
        found |= {name: _cached(cache, name, wanted[name]) for name in missing}
    for name, wheel in found.items():
        if wheel is None:
            raise ImgpipeError(
                "damaged_wheel",
                f"The wheel of {name} {wanted[name]} that was downloaded does not hold what its record says.",
                "try again: the network, or the index that pip is configured for, damages files",
            )
    return [wheel for wheel in found.values() if wheel is not None]


def installed_version(name: str) -> str:
    """The version that runs here, so that the function gets what `local` and the tests ran with."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
    # A library that this machine has no wheel of is pinned by imgpipe itself.
    for requirement in importlib.metadata.requires("imgpipe") or ():
        if pinned := re.match(rf"{re.escape(name)}==([^\s;,]+)", requirement):
            return pinned[1]
    raise ImgpipeError("not_installed", f"{name} is not installed here.", "install imgpipe again")


def cache_folder() -> Path:
    """Where wheels are kept: below IMGPIPE_HOME where that is set, else in this user's cache."""
    if home := os.environ.get("IMGPIPE_HOME"):
        # With a dot, so that no stage can have this name.
        return Path(home).expanduser().absolute() / ".cache" / "wheels"
    from platformdirs import user_cache_path

    return user_cache_path("imgpipe", appauthor=False) / "wheels"


def _cached(cache: Path, name: str, version: str) -> Wheel | None:
    """The wheel in the cache; one that is damaged is removed."""
    start = f"{re.sub(r'[-_.]+', '_', name)}-{version}-".lower()
    for path in sorted(cache.glob("*.whl")):
        if path.name.lower().startswith(start):
            try:
                return Wheel(name, version, path.name, read(path))
            except DamagedError:
                path.unlink(missing_ok=True)
    return None


def _download(requirements: Sequence[str], architecture: str, python: str, cache: Path) -> None:
    """Put wheels of exactly these versions into the cache, each at once and whole."""
    machine, interpreter = MACHINES[architecture], python.replace(".", "")
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1)]
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
    for abi in (f"cp{interpreter}", "abi3", "none"):
        options += ["--abi", abi]
    for platform in (*platforms, f"manylinux2014_{machine}"):
        options += ["--platform", platform]
    with workshop(cache) as folder:
        command = [*pip(), "download", *options, "--dest", str(folder), *requirements]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise _failed(done.stderr, architecture, python)
        for path in folder.glob("*.whl"):
            path.replace(cache / path.name)


@contextmanager
def workshop(cache: Path) -> Iterator[Path]:
    """A folder beside the cached wheels, gone afterwards."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(prefix=".", dir=cache)
    except OSError as error:
        hint = "set IMGPIPE_HOME to a folder that can be written"
        raise ImgpipeError("cannot_write", f"{cache} cannot be written: {error.strerror}.", hint) from None
    with made as folder:
        yield Path(folder)


def pip() -> list[str]:
    """How to run pip here: as a module of this interpreter, else through uv. pip knows which index to ask."""
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "--quiet", "pip"]
    raise ImgpipeError(
        "no_installer",
        "The function's libraries are downloaded by pip or uv, and neither is here.",
        f"{sys.executable} -m ensurepip, or install uv: https://docs.astral.sh/uv",
    )


def _failed(said: str, architecture: str, python: str) -> ImgpipeError:
    # pip calls a package that it could not ask for one that does not exist.
    if silent := re.search(r"connection broken by '(.*)': /", said):
        cause = re.sub(r"\[Errno -?\d+\] ", "", silent[1].rsplit(": ", 1)[-1]).strip("'\")")
        return _not_downloaded(cause)
    if missing := re.search(r"No matching distribution found for (\S+?)==(\S+)", said):
        return ImgpipeError(
            "no_wheel",
            f"There is no wheel of {missing[1]} {missing[2]} for Python {python} on {architecture} Linux.",
            f"install another version of {missing[1]} beside imgpipe, or name another --python or --arch",
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    cause = next(
        (line for line in reversed(lines) if line.lower().startswith("error")), (lines or ["no reason given"])[-1]
    )
    return _not_downloaded(re.sub(r"(?i)^error: *", "", cause))


def _not_downloaded(cause: str) -> ImgpipeError:
    return ImgpipeError(
        "download_failed",
        f"The function's libraries cannot be downloaded: {cause.rstrip('.')}.",
        "check the network, and the index that `pip config list` names",
    )


def read(path: Path) -> tuple[Entry, ...]:
    """What a function needs of a wheel, each file checked against the wheel's record; raises DamagedError."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
            record = _record(archive)
            found = tuple(
                Entry(info.filename, archive.read(info), deflated(raw, info))
                for info in archive.infolist()
                if not info.is_dir() and _is_needed(info.filename)
            )
    # What a damaged zip makes zipfile raise depends on which byte it is.
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, struct.error) as error:
        raise DamagedError(f"{path.name} cannot be read: {error}") from error
    for entry in found:
        if record.get(entry.path) != _digest(entry.data):
            raise DamagedError(f"{path.name} holds another {entry.path} than its record says")
    return found


def _record(archive: zipfile.ZipFile) -> dict[str, str]:
    """Path -> digest, as the wheel's RECORD has them."""
    for name in archive.namelist():
        if re.fullmatch(r"[^/]+\.dist-info/RECORD", name):
            return {row[0]: row[1] for row in csv.reader(archive.read(name).decode().splitlines()) if len(row) == 3}
    raise ValueError("there is no record in it")


def _digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _is_needed(path: str) -> bool:
    return not (
        path.endswith((".pyi", ".pyc", "/py.typed"))
        or _UNUSED.match(path)
        or _METADATA.match(path)
        or _TESTS.search(path)
    )


def deflated(raw: BinaryIO, info: zipfile.ZipInfo) -> bytes | None:
    """The raw deflate stream of a file in a wheel; None where it is stored, or packed in another way."""
    if info.compress_type != zipfile.ZIP_DEFLATED:
        return None
    # Name and extra field of the local header may be longer or shorter than those in the directory.
    raw.seek(info.header_offset + 26)
    name, extra = struct.unpack("<2H", raw.read(4))
    raw.seek(name + extra, os.SEEK_CUR)
    return raw.read(info.compress_size)
