"""The zip that holds the function's own source, the same to the byte wherever it is made."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold
_UNIX = 3
_READABLE_FILE = 0o100644


@dataclass(frozen=True, slots=True)
class Bundle:
    """A zip for Lambda and the hex digest that names it."""

    data: bytes
    sha256: str


def source_bundle() -> Bundle:
    """`image_pipeline` as it is installed here, without the libraries that it imports."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, source in sorted(_sources(files("image_pipeline"), "image_pipeline")):
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = _READABLE_FILE << 16
            # Stored, because the output of zlib differs between its versions.
            entry.compress_type = zipfile.ZIP_STORED
            archive.writestr(entry, source)
    data = packed.getvalue()
    return Bundle(data, hashlib.sha256(data).hexdigest())


def _sources(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        inside = f"{path}/{entry.name}"
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _sources(entry, inside)
        elif not entry.name.endswith((".pyc", ".pyo")) and not entry.name.startswith("."):
            yield inside, entry.read_bytes()
