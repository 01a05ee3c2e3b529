"""Bytecode of a bundle's modules: Lambda's disk is read-only, so what comes without is compiled at every cold start."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imgpipe.stack import pythons
from imgpipe.stack.archive import Entry
from imgpipe.stack.wheels import cache_folder, deflated, workshop
from imgpipe.targets.base import Progress

_TASK = "/var/task"
"""Where Lambda unpacks a bundle: the paths that tracebacks name."""

_MOST_KEPT = 12
"""Compiled bundles, of a megabyte or two each."""


@dataclass(frozen=True, slots=True)
class Bytecode:
    """The `__pycache__` files of a bundle, and the version of the Python that compiled them."""

    entries: tuple[Entry, ...]
    compiled_by: str


def compiled(entries: Sequence[Entry], python: str, progress: Progress) -> Bytecode | None:
    """Bytecode for a version ("3.13") of every module among `entries`; None where no such Python is here.

    It names the source's place on Lambda, holds no date, and is never compared with its source again. What was compiled
    once is kept, so that the same code stays the same zip when that Python is updated or goes away.
    """
    modules = sorted((entry.path, entry.data) for entry in entries if entry.path.endswith(".py"))
    digest = hashlib.sha256(repr([(path, hashlib.sha256(data).hexdigest()) for path, data in modules]).encode())
    kept = cache_folder() / f"{digest.hexdigest()}-python{python}.bytecode"
    if (known := _read(kept)) is not None:
        return known
    if (interpreter := next(pythons.installed(python), None)) is None:
        return None
    progress("Compiling")
    with workshop(kept.parent) as folder:
        made = folder / "made.zip"
        _compile(modules, interpreter, made)
        made.replace(kept)
    for old in sorted(kept.parent.glob("*.bytecode"), key=lambda one: one.stat().st_mtime)[:-_MOST_KEPT]:
        old.unlink(missing_ok=True)
    return _read(kept)


def _read(path: Path) -> Bytecode | None:
    """What was compiled before; None where that is missing or damaged."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
            entries = (Entry(info.filename, archive.read(info), deflated(raw, info)) for info in archive.infolist())
            return Bytecode(tuple(entries), archive.comment.decode())
    except (OSError, zipfile.BadZipFile, ValueError):
        return None


def _compile(modules: Sequence[tuple[str, bytes]], interpreter: pythons.Interpreter, made: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="imgpipe-bytecode-") as name:
        folder = Path(name)
        for path, data in modules:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        command = [
            interpreter.executable,
            "-I",
            "-S",
            "-m",
            "compileall",
            "-q",
            "--invalidation-mode",
            "unchecked-hash",
        ]
        # A module that does not compile goes without: whether it is needed shows when the bundle is tried.
        subprocess.run([*command, "-s", name, "-p", _TASK, name], capture_output=True, check=False)
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.comment = interpreter.version.encode()
            for one in sorted(folder.rglob("*.pyc")):
                archive.writestr(one.relative_to(folder).as_posix(), one.read_bytes())
