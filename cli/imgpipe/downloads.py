"""Images back out of the pipeline: what to fetch for a key, under which safe name, and written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from image_pipeline.record import ImageRecord, Output
from imgpipe.aws import Clients
from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.files import replacing
from imgpipe.hints import typed

ORIGINAL, THUMBNAIL = "original", "thumbnail"
"""The names of two pieces that every recipe has; no rendition may take them."""

_CHUNK = 1 << 20
_LONGEST = 200
_UNFIT = re.compile(
    r'[\x00-\x1f\x7f-\x9f<>:"|?*\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff'
    r"\xad\u200b\u2060-\u2064\ufeff\U000e0000-\U000e007f]"
)
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


@dataclass(frozen=True, slots=True)
class Piece:
    """One object to fetch: its name (ORIGINAL, THUMBNAIL or a rendition's), where it lies, and a safe file name."""

    name: str
    bucket: str
    key: str
    file_name: str
    version_id: str | None = None


def original(bucket: str, key: str, record: ImageRecord | None) -> Piece:
    """The image as it was uploaded: the version that was processed, or whatever S3 serves where there is no row."""
    version = record.source.version_id if record else None
    return Piece(ORIGINAL, bucket, key, safe_name(key), version)


def rendition(record: ImageRecord, name: str) -> Piece:
    """One of the pictures that were made; "thumbnail" is the thumbnail whatever its size. Raises no_such_rendition."""
    wanted = next((one for one in record.renditions if one.name == name), None)
    # Where no rendition has the thumbnail's own name, such as "64", that means the thumbnail as well.
    if record.thumbnail is not None and name in (THUMBNAIL, *(() if wanted else (record.thumbnail.name,))):
        wanted = record.thumbnail
    if wanted is not None:
        return _made(record, wanted)
    made = ", ".join(piece.name for piece in made_of(record))
    why = f"{record.image_key} has {made}" if made else f"nothing was made of {record.image_key}"
    hint = f"imgpipe meta {typed(record.image_key)}"
    raise ImgpipeError("no_such_rendition", f"There is no rendition {name}: {why}.", hint)


def made_of(record: ImageRecord) -> list[Piece]:
    """Everything that was made of an image, each under a file name of its own."""
    return [_made(record, output) for output in record.outputs]


def _made(record: ImageRecord, output: Output) -> Piece:
    name = THUMBNAIL if output is record.thumbnail else output.name
    suffix = PurePosixPath(output.key).suffix
    suffix = suffix if re.fullmatch(r"\.[a-z0-9]{1,5}", suffix) else ""
    stem = Path(safe_name(record.image_key)).stem
    return Piece(name, output.bucket, output.key, f"{stem}-{name}{suffix}")


def safe_name(key: str) -> str:
    """A file name for a key: its last part, without anything that leaves a directory, hides or cannot be typed.

    Never empty, never "." or "..", never with a separator, at most 200 bytes; the same for the same key.
    """
    last = next((part for part in reversed(re.split(r"[/\\]", key)) if part.strip(". ")), "")
    name = _UNFIT.sub("_", last).rstrip(". ")
    if name.startswith((".", "-")):
        name = "_" + name[1:]
    if _RESERVED.match(name):
        name = "_" + name
    if len(name.encode()) > _LONGEST:
        suffix = Path(name).suffix if len(Path(name).suffix.encode()) <= 16 else ""
        stem = name.encode()[: _LONGEST - len(suffix.encode())].decode(errors="ignore")
        name = stem.rstrip(". ") + suffix
    return name or f"image-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def destination(pieces: list[Piece], output: str | None) -> list[Path]:
    """Where each piece goes: into a directory that exists or ends in a slash, else to the one file that is named."""
    if output is None:
        return [Path(piece.file_name) for piece in pieces]
    folder = Path(output)
    if len(pieces) > 1 or folder.is_dir() or output.endswith(("/", os.sep)):
        return [folder / piece.file_name for piece in pieces]
    return [folder]


def refuse_to_overwrite(paths: list[Path]) -> None:
    """Raise ImgpipeError (exit 6) where one of the paths is taken."""
    # A link that leads nowhere is something too.
    if taken := next((path for path in paths if os.path.lexists(path)), None):
        raise ImgpipeError("file_exists", f"{taken} exists already.", "add --force to replace it", ExitStatus.REFUSED)


def stream(clients: Clients, piece: Piece) -> Iterator[bytes]:
    """The bytes of a piece, in chunks."""
    from botocore.exceptions import ClientError

    version = {"VersionId": piece.version_id} if piece.version_id else {}
    try:
        body = clients["s3"].get_object(Bucket=piece.bucket, Key=piece.key, **version)["Body"]
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion", "404"):
            raise ImgpipeError(
                "gone", f"S3 no longer holds the {piece.name} of this image.", "imgpipe ls shows what there is"
            ) from None
        raise
    yield from body.iter_chunks(_CHUNK)


def write(clients: Clients, piece: Piece, path: Path) -> int:
    """Write a piece to `path` and return its size in bytes; a failure leaves no half file behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        return copy(clients, piece, file)


def copy(clients: Clients, piece: Piece, file: BinaryIO) -> int:
    """Copy a piece into an open file and return its size in bytes."""
    return sum(file.write(chunk) for chunk in stream(clients, piece))
