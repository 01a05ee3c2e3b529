"""What table, bucket and outputs say, compared on disk: however many images there are, memory stays the same."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

_SCHEMA = """
CREATE TABLE rows (image_key TEXT PRIMARY KEY, identity TEXT, processed REAL) WITHOUT ROWID;
CREATE TABLE suspects (image_key TEXT PRIMARY KEY, identity TEXT, changed REAL) WITHOUT ROWID;
CREATE TABLE listed (key TEXT, bucket TEXT, image_key TEXT, PRIMARY KEY (key, bucket)) WITHOUT ROWID;
CREATE TABLE unlisted (key TEXT, bucket TEXT, bytes INTEGER, changed REAL, PRIMARY KEY (key, bucket)) WITHOUT ROWID;
CREATE TABLE hashed (digest TEXT PRIMARY KEY, image_key TEXT) WITHOUT ROWID;
"""
_ATTEMPT = re.compile(r"(.+)/([0-9a-f]{12})/[^/.]{1,32}\.[a-z]{2,5}", re.DOTALL)
_MAYBE_HASHED = 700  # bytes; a shorter key is never replaced by its hash in the keys of its outputs
_CACHE = 32 * 1024  # KiB that SQLite may hold before it writes to disk


@dataclass(frozen=True, slots=True)
class Glance:
    """What a row says that can be compared: which object it is about, and the (bucket, key) of each of its outputs.

    `identity` is None for an object that the worker could not even look at; `processed` is in seconds since 1970.
    """

    image_key: str
    identity: str | None
    processed: float
    outputs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A key about which two of the three disagree.

    `identity` and `changed` (seconds since 1970) are the object's as it was listed; of a deleted one there is no
    identity, and of one without any trace no date.
    """

    image_key: str
    identity: str | None
    changed: float | None


@dataclass(frozen=True, slots=True)
class Unlisted:
    """An output that no row listed. `owner` is the image key that its own begins with, and may be a hash."""

    bucket: str
    key: str
    bytes: int
    changed: float
    owner: str
    attempt: str


def identity(version: str | None, etag: str, modified: str) -> str:
    """What tells one object under a key from the next; its version, or content and date where there are no versions."""
    return version if version and version != "null" else f"{etag} {modified[:19]}"


def says(known: str | None, processed: float, served: str | None, changed: float | None) -> bool:
    """Whether a row with the identity `known` is about what is `served`; of a hidden object, it only knows when."""
    if known is not None or served is None:
        return known == served
    return changed is None or processed >= changed


class Comparison:
    """Takes all rows first, then all objects, then all outputs; afterwards tells what does not fit.

    What fits is forgotten at once, the rest waits in an unnamed file of SQLite's, which goes with this object.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", check_same_thread=False)
        self._db.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-{_CACHE};")
        self._db.executescript(_SCHEMA)
        self.objects = self.rows = self.outputs = self.foreign = self.listed = 0

    def close(self) -> None:
        """Give the disk back."""
        self._db.close()

    def add_row(self, row: Glance) -> None:
        """A row of the table."""
        self.rows += 1
        self._db.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", (row.image_key, row.identity, row.processed))
        listed = [(key, bucket, row.image_key) for bucket, key in row.outputs]
        self._db.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?, ?)", listed)
        self.listed += len(listed)
        self._remember(row.image_key)

    def add_object(self, key: str, served: str | None, changed: float) -> None:
        """What the bucket serves under a key; None in place of its identity for a deleted object."""
        self.objects += served is not None
        row = self._db.execute("SELECT identity, processed FROM rows WHERE image_key = ?", (key,)).fetchone()
        if row is not None:
            self._db.execute("DELETE FROM rows WHERE image_key = ?", (key,))
        if served is not None:
            self._remember(key)
        if served is None and row is None:
            return
        if row is None or served is None or not says(row[0], row[1], served, changed):
            self._db.execute("INSERT OR REPLACE INTO suspects VALUES (?, ?, ?)", (key, served, changed))

    def add_output(self, bucket: str, key: str, size: int, changed: float) -> None:
        """An object in a bucket of outputs; one whose key the pipeline would not make is counted as foreign."""
        listed = self._db.execute("DELETE FROM listed WHERE key = ? AND bucket = ?", (key, bucket)).rowcount > 0
        if not listed and _ATTEMPT.fullmatch(key) is None:
            self.foreign += 1
            return
        self.outputs += 1
        if not listed:
            self._db.execute("INSERT OR REPLACE INTO unlisted VALUES (?, ?, ?, ?)", (key, bucket, size, changed))

    def finish(self) -> None:
        """Everything was added: what is left of the rows and of their outputs has no counterpart."""
        self._db.execute("INSERT OR IGNORE INTO suspects SELECT image_key, NULL, NULL FROM rows")
        self._db.execute("INSERT OR IGNORE INTO suspects SELECT DISTINCT image_key, NULL, NULL FROM listed")

    def count(self) -> tuple[int, int]:
        """How many suspects and how many unlisted outputs there are."""
        found = self._db.execute("SELECT (SELECT count(*) FROM suspects), (SELECT count(*) FROM unlisted)").fetchone()
        return int(found[0]), int(found[1])

    def suspects(self) -> Iterator[Suspect]:
        """The keys to look at again, in order."""
        for found in self._db.execute("SELECT image_key, identity, changed FROM suspects ORDER BY image_key"):
            yield Suspect(*found)

    def unlisted(self) -> Iterator[Unlisted]:
        """The outputs that no row listed, those of one attempt together."""
        for key, bucket, size, changed in self._db.execute("SELECT * FROM unlisted ORDER BY key, bucket"):
            if found := _ATTEMPT.fullmatch(key):
                yield Unlisted(bucket, key, size, changed, found[1], found[2])

    def behind(self, owner: str) -> str | None:
        """The image key whose hash `owner` is, if a row or an object has such a key."""
        found = self._db.execute("SELECT image_key FROM hashed WHERE digest = ?", (owner,)).fetchone()
        return found and str(found[0])

    def _remember(self, key: str) -> None:
        if len(key) * 4 > _MAYBE_HASHED and len(data := key.encode()) > _MAYBE_HASHED:
            digest = hashlib.sha256(data).hexdigest()
            self._db.execute("INSERT OR REPLACE INTO hashed VALUES (?, ?)", (digest, key))
