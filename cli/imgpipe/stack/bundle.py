"""The function's code as a zip: alone, or with the libraries that it imports, compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from imgpipe.errors import usage
from imgpipe.stack.archive import Entry, pack
from imgpipe.targets.base import Progress

ARCHITECTURES = ("arm64", "x86_64")
PYTHONS = ("3.12", "3.13", "3.14")
"""Lambda's runtimes on Amazon Linux 2023; the libc of the older ones is too old for Pillow's wheels."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A zip for Lambda and its hex digest."""

    data: bytes
    sha256: str

    @property
    def name(self) -> str:
        """What it is kept under: the same code has the same name, whoever made the zip."""
        return self.sha256


@dataclass(frozen=True, slots=True)
class Library:
    """A library in a bundle: its name, its version, and the wheel that it came in."""

    name: str
    version: str
    wheel: str


@dataclass(frozen=True, slots=True)
class LambdaBundle(Bundle):
    """A bundle that runs on Lambda, inspected.

    `code` is the hex digest of the zip without bytecode; `unzipped` is its size on Lambda's disk, in bytes; `without`
    are the libraries that have no wheel for this architecture; `compiled_by` and `imported_by` are the versions of the
    Pythons here that made its bytecode and imported its handler, None where there was none that could.
    """

    code: str
    architecture: str
    python: str
    unzipped: int
    libraries: tuple[Library, ...]
    without: tuple[str, ...]
    compiled_by: str | None
    imported_by: str | None

    @property
    def name(self) -> str:
        """The digest of its code, and whether it is compiled: not that of the zip, for what compilers and packers make
        of the same code may differ, and should not deploy it again."""
        return self.code if self.compiled_by is None else f"{self.code}-compiled"


def source_bundle() -> Bundle:
    """`image_pipeline` as it is installed here, without the libraries that it imports."""
    data = pack(_source())
    return Bundle(data, hashlib.sha256(data).hexdigest())


def lambda_bundle(architecture: str, python: str, progress: Progress) -> LambdaBundle:
    """`image_pipeline` and its libraries for a processor ("x86_64", "arm64") and a Python ("3.13") of Lambda's.

    It holds bytecode where a Python of that version is here, which halves every cold start, and not where there is
    none. Without bytecode the zip is the same to the byte wherever it is made; with it, the rest of it is. The function
    takes botocore along, cut down to the calls that it makes: a third less to do than with the runtime's.

    Raises ImgpipeError where a wheel cannot be had, and where the bundle would not run.
    """
    from imgpipe.stack import bytecode, inspection, services, wheels

    if architecture not in ARCHITECTURES:
        raise usage(f"Lambda has no architecture {architecture!r}.", "--arch arm64 or --arch x86_64")
    if python not in PYTHONS:
        raise usage(f"The function cannot run on Python {python!r}.", f"--python is one of {', '.join(PYTHONS)}")
    progress("Reading the libraries")
    fetched = wheels.fetch(architecture, python, progress)
    entries = [entry for entry in _source() if not entry.path.endswith("py.typed")]
    entries += services.reduced(entry for wheel in fetched for entry in wheel.entries)
    code = hashlib.sha256(pack(entries)).hexdigest()
    compiled = bytecode.compiled(entries, python, progress)
    if compiled is not None:
        entries += compiled.entries
    data = pack(entries)
    sha256 = hashlib.sha256(data).hexdigest()
    progress("Inspecting the bundle")
    # The same bytes need to be looked into once: starting another Python for it takes seconds.
    passed = wheels.cache_folder() / f"{sha256}.inspected"
    imported_by = passed.read_text() if passed.is_file() else inspection.inspect(data, architecture, python)
    if imported_by:
        passed.write_text(imported_by)
    return LambdaBundle(
        data=data,
        sha256=sha256,
        code=code,
        architecture=architecture,
        python=python,
        unzipped=sum(len(entry.data) for entry in entries),
        libraries=tuple(Library(wheel.name, wheel.version, wheel.file) for wheel in fetched),
        without=wheels.NO_WHEEL.get(architecture, ()),
        compiled_by=None if compiled is None else compiled.compiled_by,
        imported_by=imported_by or None,
    )


def _source() -> list[Entry]:
    return [Entry(path, data) for path, data in _files(files("image_pipeline"), "image_pipeline")]


def _files(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        inside = f"{path}/{entry.name}"
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _files(entry, inside)
        elif not entry.name.endswith((".pyc", ".pyo")) and not entry.name.startswith("."):
            yield inside, entry.read_bytes()
