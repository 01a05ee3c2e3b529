"""Scans of a JPEG: how one of them ends, and which one nobody misses when the picture is made much smaller."""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_SEGMENTS = 1000
"""Segments that are looked at: encoders write some twenty, and cameras some dozens."""

_TABLE = b"\xff\xc4\0\x14"
_NO_CHANGE = b"\1" + bytes(15) + b"\0"
"""A Huffman table with one code, a single zero: the block, and those after it in its run, keep what they have."""

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""What ends entropy-coded bytes: anything but a stuffed zero, padding and restarts."""


def without_last_refinement(data: bytes) -> bytes:
    """A progressive JPEG with its last scan emptied, where that only refines one component by its last bit; else all.

    Encoders put that scan last, it takes half of the file, and it holds little but noise: at a quarter of the size or
    less, it changes the pixels by less than the next encoder does. A file that breaks off or is damaged is left whole,
    and so is one whose last scan begins like no other: it is the decoder that has to find that.
    """
    scans = _scans(data)
    if len(scans) < 2:
        return data
    last = scans.pop()
    # Length, number of components, component and table; then the first and the last coefficient, and the bits.
    known = data[last + 2 : last + 7] in {data[one + 2 : one + 7] for one in scans}
    if not known or data[last + 4] != 1 or data[last + 7 : last + 10] != b"\x01\x3f\x10":
        return data
    # The header stays: without it, libjpeg would take the picture for an unfinished one, and smooth it at some cost.
    # Its bits are the zeros that libjpeg goes on with where a scan breaks off; the table says that they mean nothing.
    table = _TABLE + bytes((0x10 | data[last + 6] & 0x0F,)) + _NO_CHANGE
    return b"".join((memoryview(data)[:last], table, data[last : last + 10], b"\xff\xd9"))


def ends_orderly(block: bytes, more: Callable[[], bytes]) -> bool:
    """Whether the picture's end is the next that comes in the entropy-coded bytes `block`, and in `more` of them.

    Bytes that come to an end before any marker does are fine, too: a decoder that has all its lines asks no further.
    """
    while (marker := _MARKER.search(block)) is None:
        following = more()
        if not following:
            return True
        block = block[-1:] + following
    return marker[0] == b"\xff\xd9"


def _scans(data: bytes) -> list[int]:
    """Where each scan begins; none where the file is not one segment after another, of which the last is a scan.

    Nor where its codes are arithmetic.
    """
    scans, kind, position = list[int](), 0, 2
    for _ in range(MAX_SEGMENTS):
        previous, kind = kind, int.from_bytes(data[position : position + 2], "big")
        if kind == 0xFFD9:
            return scans if previous == 0xFFDA else []
        if kind < 0xFFC0:
            break
        behind = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if kind == 0xFFCA:
            return []  # arithmetic codes do not end in zeros that mean nothing
        if kind == 0xFFDA:
            scans.append(position)
            marker = _MARKER.search(data, behind)
            behind = marker.start() if marker else len(data)
        position = behind
    return []
