"""Scans of a JPEG: how one of them ends, and which ones nobody misses when the picture is made much smaller."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

MAX_SEGMENTS = 1000
"""Segments that are looked at: encoders write some twenty, and cameras some dozens."""

_LOWEST = (1, 8, 16, 9, 2)
"""Where the five lowest frequencies stand in a quantisation table: the first that follow the mean along its zigzag."""

_MOST = 0.55
"""By how much a coefficient of the lowest frequencies may be off at worst, per pixel of those that become one."""

_SLOT = 3
"""The last of the four AC tables that a decoder can hold: encoders use the first two."""

_TABLE = b"\xff\xc4\0\x14" + bytes((0x10 | _SLOT, 1)) + bytes(15) + b"\0"
"""A Huffman table with one code, a single zero: the block, and those after it in its run, keep what they have."""

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""What ends entropy-coded bytes: anything but a stuffed zero, padding and restarts."""


def spare_bits(
    layers: Sequence[tuple[int, int, int, int]], tables: Mapping[int, Sequence[int]], scale: int
) -> dict[int, int]:
    """How many of the last bits of its coefficients each component can do without, decoded at 1/`scale`.

    `layers` are (component, samples across, samples down, table) of the frame, `tables` its quantisation tables row by
    row, as Pillow has them. A bit is worth the more the coarser the quantisation, and the less the more pixels become
    one; the limit is measured: photos of quality 50 to 100 lose less than 0.1 dB by it at all sizes.
    """
    widest, tallest = (max((1, *(layer[place] for layer in layers))) for place in (1, 2))
    spare = {}
    for component, across, down, table in layers:
        # Of a component with fewer samples than there are pixels, fewer become one.
        most = int(_MOST * scale**2 * min(across / widest, down / tallest))
        step = max((1, *(tables[table][place] for place in _LOWEST))) if table in tables else most + 1
        spare[component] = (most // step + 1).bit_length() - 1  # n bits less: off by 2^n - 1 steps at worst
    return spare


def without_refinements(data: bytes, spare: Mapping[int, int]) -> bytes:
    """A progressive JPEG whose scans that only refine a component by one of its `spare` last bits are empty.

    Encoders put the last bits last; of a photo of quality 92, they are three quarters of the file, and of the time to
    decode it. A file that breaks off or is damaged is left whole, and so is one that has no AC table to spare; and a
    scan stays that begins like none before it: it is the decoder that has to find that.
    """
    scans = _scans(data)
    if any(data[begin + 6] & 0x0F == _SLOT for begin, _ in scans):
        return data
    view, position, kept = memoryview(data), 0, list[bytes | memoryview]()
    for begin, behind in reversed(list(_spared(data, scans, spare))):
        # The header stays: without it, libjpeg would take the picture for an unfinished one, and smooth it at some
        # cost. Its bits are the zeros that libjpeg goes on with where a scan breaks off; the table says that they mean
        # nothing.
        tables = bytes((data[begin + 6] & 0xF0 | _SLOT,))
        kept += view[position:begin], _TABLE, data[begin : begin + 6], tables, data[begin + 7 : begin + 10]
        position = behind
    return b"".join((*kept, view[position:])) if kept else data


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


def _spared(data: bytes, scans: list[tuple[int, int]], spare: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """The scans that can be done without, last first."""
    left, bits = dict(spare), Counter[int]()
    # Length, number of components, component and tables.
    heads = [data[begin + 2 : begin + 7] for begin, _ in scans]
    for number in reversed(range(len(scans))):
        begin, behind = scans[number]
        component, bit = data[begin + 5], bits[data[begin + 5]]
        if data[begin + 4] != 1 or data[begin + 7] == 0:
            continue  # a scan of means, which are never left out
        # The first coefficient and the last, and the bit before and the bit now.
        refines = data[begin + 7 : begin + 10] == bytes((1, 63, bit + 1 << 4 | bit))
        if refines and bit < left.get(component, 0) and heads[number] in heads[:number]:
            bits[component] += 1
            yield begin, behind
        else:
            left[component] = 0  # what refines a coefficient builds on all that did so before


def _scans(data: bytes) -> list[tuple[int, int]]:
    """Where each scan begins and ends; none where the file is not one segment after another, of which the last is one.

    Nor where its codes are arithmetic.
    """
    scans, kind, position = list[tuple[int, int]](), 0, 2
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
            marker = _MARKER.search(data, behind)
            behind = marker.start() if marker else len(data)
            scans.append((position, behind))
        position = behind
    return []
