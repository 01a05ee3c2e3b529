"""What to upload: the files, folders and patterns of a command line as items with keys."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from image_pipeline.sniff import HEAD, describe, image_format
from imgpipe.errors import ImgpipeError, usage
from imgpipe.words import counted

_UNKNOWN = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Item:
    """One object to be: its key, what the user called it, and its bytes, in memory or still in a file."""

    key: str
    source: str
    content_type: str
    content: Path | bytes

    def open(self) -> BinaryIO:
        """The bytes, from the beginning."""
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb")

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


def media_type(head: bytes) -> str | None:
    """The media type that a file's first HEAD bytes show; None when they are no image's."""
    if form := image_format(head):
        return f"image/{form}"
    # The pipeline refuses it, with words that help: better than leaving a phone's photos out without any.
    return "image/heic" if describe(head) == "HEIC" else None


def collect(
    named: Sequence[str],
    *,
    key: str | None,
    prefix: str,
    stdin: Callable[[], bytes],
    left_out: Callable[[Path], None] = lambda _: None,
) -> list[Item]:
    """The items that the arguments of `upload` name, in their order.

    A file's key is its name; below a folder, its path from there. Files that are named are taken as they are, folders
    are searched for what looks like an image, and `left_out` is told of the rest. `-` is what `stdin` returns. Raises
    ImgpipeError (exit 2) for what does not exist, for a folder without images, for two files with one key, and for a
    folder marker.
    """
    if key is not None:
        check_key(key)
    found = [item for name in named for item in _items(name, key, stdin, left_out)]
    if key is not None and len(found) > 1:
        raise usage(f"--key names one image, and there are {len(found)}.", "give each its own upload, or use --prefix")
    items = [Item(prefix + (key or one.key), one.source, one.content_type, one.content) for one in found]
    taken: dict[str, Item] = {}
    for item in items:
        if other := taken.get(item.key):
            sources = f"{other.source} and {item.source}"
            raise usage(f"{sources} would both become {item.key}.", "upload their folder, or use --prefix or --key")
        check_key(item.key)
        # What consoles make to show an empty folder: the pipeline takes no notice of it, and nobody should wait for it.
        if item.key.endswith("/") and not item.size:
            raise usage(
                f"{item.source} has no bytes: as {item.key} it is a folder and no image.", "choose another --key"
            )
        taken[item.key] = item
    return items


def check_key(key: str) -> None:
    """Raise ImgpipeError (exit 2) for what S3 does not take as a key."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise usage(f"The name {key!r} is not UTF-8, and S3 keys are.", "name the object with --key") from None
    if not size:
        raise usage("A key has at least one character.", "imgpipe upload photo.jpg --key photo.jpg")
    if size > 1024:
        raise usage(f"S3 keys have at most 1024 bytes, and this one has {size}: {key[:40]}…", "shorten it with --key")


def _items(name: str, key: str | None, stdin: Callable[[], bytes], left_out: Callable[[Path], None]) -> Iterator[Item]:
    if name == "-":
        if key is None:
            raise usage("What comes from a pipe has no name.", "imgpipe upload - --key photo.jpg")
        data = stdin()
        yield Item(key, "-", media_type(data[:HEAD]) or _UNKNOWN, data)
        return
    path = Path(name)
    if path.is_dir():
        yield from _folder(path, left_out)
    elif path.exists():
        yield _file(path, path.name)
    elif matches := _matches(name):
        for match in matches:
            yield from _items(match, key, stdin, left_out)
    else:
        raise ImgpipeError("no_such_file", f"There is no file {name}.", "imgpipe upload --sample", usage("").status)


def _matches(pattern: str) -> list[str]:
    """What a pattern names that the shell left to us, as cmd.exe does and as quotes make any shell do."""
    path = Path(pattern)
    anchor = Path(path.anchor)
    parts = path.relative_to(anchor).as_posix()
    return sorted(str(match) for match in anchor.glob(parts)) if any(sign in parts for sign in "*?[") else []


def _file(path: Path, key: str) -> Item:
    # A pipe or a device can be read once and has no length, which S3 wants to know.
    content = path if path.is_file() else path.read_bytes()
    return Item(key, str(path), media_type(_head(content)) or _UNKNOWN, content)


def _folder(folder: Path, left_out: Callable[[Path], None]) -> list[Item]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    items = []
    for path in files:
        if media := media_type(_head(path)):
            items.append(Item(path.relative_to(folder).as_posix(), str(path), media, path))
        else:
            left_out(path)
    if not items:
        looked = f"looked at {counted(len(files), 'file')}"
        raise ImgpipeError(
            "no_images",
            f"There are no images in {folder} ({looked}).",
            "name a file to send it whatever it is",
            usage("").status,
        )
    return items


def _head(content: Path | bytes) -> bytes:
    if isinstance(content, bytes):
        return content[:HEAD]
    with content.open("rb") as file:
        return file.read(HEAD)
