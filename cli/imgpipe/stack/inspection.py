"""Whether a bundle would run on Lambda: every library's processor, Python and libc, the handler's import, the sizes."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import zipfile

from imgpipe.errors import ImgpipeError
from imgpipe.stack.pythons import Interpreter, installed
from imgpipe.stack.wheels import MACHINES, NEWEST_GLIBC

LARGEST = 250 * 1024 * 1024
"""Bytes that Lambda takes, unzipped (docs.aws.amazon.com/lambda, "Lambda quotas")."""

OLDEST_PILLOW = (13, 0, 0)
"""The first release whose JPEG decoder is free of the memory-safety bugs that crafted files reach."""

_ELF_MACHINES = {3: "32-bit x86", 40: "32-bit ARM", 62: "x86_64", 183: "arm64", 243: "RISC-V"}
_OTHERS = {
    b"\xcf\xfa\xed\xfe": "a macOS library",
    b"\xca\xfe\xba\xbe": "a macOS library",
    b"MZ": "a Windows library",
}
_LIBRARY = re.compile(r"\.(so(\.[\d.]+)?|dylib|dll|pyd)$")
_TAG = re.compile(r"\.cpython-(\d)(\d+[a-z]*)-(.*)\.so$")
_EXTENSION = re.compile(r"\.(cpython-[^/]+|abi3)\.so$")
_GLIBC = re.compile(rb"GLIBC_2\.(\d+)")

_BESIDE = re.compile(rb"\0(lib[\w.+-]+-[0-9a-f]{8}\.so[\d.]*)(?=\0)")
"""The libraries that came in the same wheel, by the names that its other libraries ask for them."""

_ENVIRONMENT = ("STACK", "ACCOUNT", "INPUT_BUCKET", "RESIZED_BUCKET", "THUMBNAILS_BUCKET", "TABLE")
"""IMGPIPE_… variables without which the handler does not start."""

_PROGRAM = """
import sys
from importlib import import_module
sys.path.insert(0, sys.argv[1])
for name in ("image_pipeline.handler", *sys.argv[2:]):
    import_module(name)
"""


def inspect(data: bytes, architecture: str, python: str) -> str | None:
    """Raise ImgpipeError `unfit_bundle` where this zip would not run, naming the file, what it is and should be.

    Returns the version of the Python that imported its handler, or None where this machine has none that is like
    Lambda's: the import was not tried then.
    """
    if len(data) > LARGEST:
        raise _unfit(f"The bundle has {_megabytes(len(data))}, and Lambda takes {_megabytes(LARGEST)}.")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        unzipped = sum(info.file_size for info in archive.infolist())
        if unzipped > LARGEST:
            raise _unfit(f"Unzipped, the bundle has {_megabytes(unzipped)}, and Lambda takes {_megabytes(LARGEST)}.")
        _check_pillow(archive)
        names = {name.rpartition("/")[2] for name in archive.namelist()}
        for name in archive.namelist():
            content = archive.read(name)
            if _LIBRARY.search(name) or content.startswith(b"\x7fELF"):
                _check_library(name, content, architecture, python)
                if missing := sorted({one.decode() for one in _BESIDE.findall(content)} - names):
                    raise _unfit(f"{name} needs {missing[0]}, which is not in the bundle.")
        interpreter = _interpreter(architecture, python)
        if interpreter is None:
            return None
        _check_import(archive, interpreter.executable, python)
        return interpreter.version


def _check_pillow(archive: zipfile.ZipFile) -> None:
    path = "PIL/_version.py"
    if path not in archive.namelist():
        raise _unfit("The bundle holds no Pillow.")
    found = re.search(r"""__version__\s*=\s*["'](\d+)\.(\d+)\.(\d+)""", archive.read(path).decode())
    version = tuple(int(part) for part in found.groups()) if found else (0,)
    if version < OLDEST_PILLOW:
        oldest = ".".join(map(str, OLDEST_PILLOW))
        said = ".".join(map(str, version))
        message = f"{path} is of Pillow {said}, which crafted images can attack; it should be {oldest} or newer."
        raise _unfit(message, f"pip install 'pillow>={oldest}' beside imgpipe")


def _check_library(name: str, content: bytes, architecture: str, python: str) -> None:
    """Processor and libc by the file's own header and symbols, Python by its name."""
    if kind := next((kind for magic, kind in _OTHERS.items() if content.startswith(magic)), None):
        raise _unfit(f"{name} is {kind}; it should be a Linux library for {architecture}.")
    if not content.startswith(b"\x7fELF\x02\x01"):
        raise _unfit(f"{name} is no 64-bit Linux library; it should be one for {architecture}.")
    number = int.from_bytes(content[18:20], "little")
    if (machine := _ELF_MACHINES.get(number, f"machine {number}")) != architecture:
        raise _unfit(f"{name} is for {machine}; it should be for {architecture}.")
    if tag := _TAG.search(name):
        if (built_for := f"{tag[1]}.{tag[2]}") != python:
            raise _unfit(f"{name} is for Python {built_for}; it should be for Python {python}.")
        if tag[3] != (system := f"{MACHINES[architecture]}-linux-gnu"):
            raise _unfit(f"{name} is named for {tag[3]}; it should be named for {system}.")
    newest = max((int(minor) for minor in _GLIBC.findall(content)), default=0)
    if newest > NEWEST_GLIBC:
        raise _unfit(f"{name} needs glibc 2.{newest}; Lambda's runtime has 2.{NEWEST_GLIBC}.")


def _interpreter(architecture: str, python: str) -> Interpreter | None:
    """A Python of this version on a Linux like Lambda's."""
    if not sys.platform.startswith("linux"):
        return None
    # A Python of another processor may run here, under emulation.
    alike = (one for one in installed(python) if one.machine == MACHINES[architecture] and one.libc == "glibc")
    return next(alike, None)


def _check_import(archive: zipfile.ZipFile, executable: str, python: str) -> None:
    """Import the handler, and every extension module, from the unpacked zip with nothing beside it."""
    extensions = [
        name.split(".")[0].replace("/", ".")
        for name in archive.namelist()
        if re.search(r"\.(cpython-\S+|abi3)\.so$", name)
    ]
    with tempfile.TemporaryDirectory(prefix="imgpipe-bundle-") as folder:
        archive.extractall(folder)
        environment = {f"IMGPIPE_{name}": "inspection" for name in _ENVIRONMENT}
        environment |= {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "PATH": os.defpath}
        done = subprocess.run(
            [executable, "-I", "-S", "-B", "-c", _PROGRAM, folder, *extensions],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        cause = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise _unfit(f"Python {python} cannot import image_pipeline.handler from the bundle: {cause}")


def _megabytes(count: int) -> str:
    return f"{count / (1024 * 1024):.1f} MB"


def _unfit(message: str, hint: str = "") -> ImgpipeError:
    hint = hint or "install another version of the library that this belongs to, and build again"
    return ImgpipeError("unfit_bundle", message, hint)
