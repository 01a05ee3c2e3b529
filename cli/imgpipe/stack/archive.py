"""Zips that are the same to the byte wherever they are made."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

_STORED, _DEFLATED = 0, 8
_NEEDS = 20  # version 2.0 of the format, the first that can deflate
_UNIX = 3
_READABLE_FILE = 0o100644
_DATE = (1 << 5) | 1  # 1 January 1980, the earliest that a zip can hold; the time beside it is midnight
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file: its path in the zip, its bytes, and the same as a raw deflate stream where somebody made one already.

    What deflate makes of the same bytes differs between zlib, its versions and its rivals. So nothing is deflated
    here: the streams are those of the wheels, which are the same for everyone, and what has none is stored.
    """

    path: str
    data: bytes
    deflated: bytes | None = None


def pack(entries: Iterable[Entry]) -> bytes:
    """The zip of these files, in the order of their paths, all with one date and readable by everyone."""
    body, directory, count = bytearray(), bytearray(), 0
    for entry in sorted(entries, key=lambda one: one.path):
        name, start = entry.path.encode(), len(body)
        stored = entry.data if entry.deflated is None else entry.deflated
        method = _STORED if entry.deflated is None else _DEFLATED
        flags = 0 if entry.path.isascii() else 0x800  # the name is UTF-8
        common = (flags, method, 0, _DATE, zlib.crc32(entry.data), len(stored), len(entry.data), len(name), 0)
        body += _LOCAL.pack(b"PK\x03\x04", _NEEDS, *common) + name + stored
        made_by, mode = _UNIX << 8 | _NEEDS, _READABLE_FILE << 16
        directory += _CENTRAL.pack(b"PK\x01\x02", made_by, _NEEDS, *common, 0, 0, 0, mode, start) + name
        count += 1
    end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory + end)
