"""The few facts of EXIF that are kept: camera, lens, exposure, date, orientation. Never a place, never a note.

The reader is bounded: it looks at two directories and ten tags, follows no chain, and takes whatever is damaged as
absent. Exif 3.0 names the tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

MAX_TEXT = 128
"""Characters kept of any text."""

_MAX_ENTRIES = 256
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}  # bytes of one value, by type: byte, ASCII, short, long, rational, any

_Tag = tuple[int, bytes]
"""Type and raw bytes of a value."""

_Order = Callable[[bytes], int]


def exif_facts(exif: object) -> dict[str, str | int]:
    """The facts in an EXIF block (with or without its "Exif" prefix, or a whole TIFF file), at most 4 KB of them.

    Keys: make, model, lens, software, taken_at ("2024-05-17T14:03:22", with an offset where there is one),
    orientation (1 to 8), exposure_time ("1/250", seconds), f_number ("2.8"), iso, focal_length ("26 mm").
    """
    if not isinstance(exif, bytes):
        return {}
    block = exif[6:] if exif.startswith(b"Exif\0\0") else exif
    if block[:4] not in (b"II*\0", b"MM\0*"):
        return {}

    def order(raw: bytes) -> int:
        return int.from_bytes(raw, "little" if block.startswith(b"II") else "big")

    main = _directory(block, order(block[4:8]), order, _MAIN)
    pointer = _number(main.get(0x8769), order)
    tags = main | (_directory(block, pointer, order, _DETAIL) if pointer else {})
    return {name: fact for name, read in _FACTS.items() if (fact := read(tags, order)) is not None}


def _directory(block: bytes, at: int, order: _Order, wanted: frozenset[int]) -> dict[int, _Tag]:
    """The wanted tags of the directory at `at`; values outside the block are left out."""
    found: dict[int, _Tag] = {}
    for entry in range(at + 2, at + 2 + 12 * min(order(block[at : at + 2]), _MAX_ENTRIES), 12):
        raw = block[entry : entry + 12]
        if len(raw) < 12 or (tag := order(raw[:2])) not in wanted:
            continue
        kind = order(raw[2:4])
        size = _SIZES.get(kind, 0) * order(raw[4:8])
        value = raw[8 : 8 + size] if size <= 4 else block[order(raw[8:12]) : order(raw[8:12]) + min(size, 4 * MAX_TEXT)]
        if value:
            found[tag] = (kind, value)
    return found


def _number(tag: _Tag | None, order: _Order) -> int | None:
    """The first value of a byte, short or long."""
    if tag is None or tag[0] not in (1, 3, 4):
        return None
    size = _SIZES[tag[0]]
    return order(tag[1][:size]) if len(tag[1]) >= size else None


def _rational(tag: _Tag | None, order: _Order) -> tuple[int, int] | None:
    """The first rational that means something: both parts positive."""
    if tag is None or tag[0] != 5 or len(tag[1]) < 8:
        return None
    above, below = order(tag[1][:4]), order(tag[1][4:8])
    return (above, below) if above and below else None


def _text(tag: _Tag | None) -> str | None:
    """Text up to its first NUL, without control characters."""
    if tag is None or tag[0] not in (2, 7):
        return None
    raw = tag[1].split(b"\0", 1)[0]
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        # Either an old camera's Latin-1, or UTF-8 whose last character was cut in two.
        cut = error.reason == "unexpected end of data" and len(raw) == 4 * MAX_TEXT
        text = raw[: error.start].decode() if cut else raw.decode("latin-1")
    return "".join(one for one in text if one.isprintable()).strip()[:MAX_TEXT].strip() or None


def _decimal(above: int, below: int) -> str:
    """A quotient with at most one decimal place."""
    tenths = (20 * above + below) // (2 * below)
    return f"{tenths // 10}.{tenths % 10}".removesuffix(".0")


def _taken_at(tags: dict[int, _Tag], _: _Order) -> str | None:
    text = _text(tags.get(0x9003)) or _text(tags.get(0x0132)) or ""
    if not (match := re.fullmatch(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)", text, re.ASCII)):
        return None
    try:
        moment = datetime.fromisoformat("{}-{}-{}T{}:{}:{}".format(*match.groups()))
    except ValueError:
        return None
    offset = _text(tags.get(0x9011)) or ""
    return moment.isoformat() + (offset if re.fullmatch(r"[+-]\d\d:\d\d", offset, re.ASCII) else "")


def _orientation(tags: dict[int, _Tag], order: _Order) -> int | None:
    value = _number(tags.get(0x0112), order)
    return value if value in range(1, 9) else None


def _exposure_time(tags: dict[int, _Tag], order: _Order) -> str | None:
    if not (value := _rational(tags.get(0x829A), order)) or value[0] > 86_400 * value[1]:
        return None
    above, below = value
    return _decimal(above, below) if 3 * above >= below else f"1/{(2 * below + above) // (2 * above)}"


def _f_number(tags: dict[int, _Tag], order: _Order) -> str | None:
    value = _rational(tags.get(0x829D), order)
    return _decimal(*value) if value and value[1] <= 10 * value[0] <= 10_000 * value[1] else None


def _iso(tags: dict[int, _Tag], order: _Order) -> int | None:
    value = _number(tags.get(0x8827), order)
    return value if value and value <= 10_000_000 else None


def _focal_length(tags: dict[int, _Tag], order: _Order) -> str | None:
    value = _rational(tags.get(0x920A), order)
    return f"{_decimal(*value)} mm" if value and value[1] <= 10 * value[0] <= 1_000_000 * value[1] else None


_FACTS: dict[str, Callable[[dict[int, _Tag], _Order], str | int | None]] = {
    "make": lambda tags, _: _text(tags.get(0x010F)),
    "model": lambda tags, _: _text(tags.get(0x0110)),
    "lens": lambda tags, _: _text(tags.get(0xA434)),
    "software": lambda tags, _: _text(tags.get(0x0131)),
    "taken_at": _taken_at,
    "orientation": _orientation,
    "exposure_time": _exposure_time,
    "f_number": _f_number,
    "iso": _iso,
    "focal_length": _focal_length,
}

_MAIN = frozenset((0x010F, 0x0110, 0x0112, 0x0131, 0x0132, 0x8769))
_DETAIL = frozenset((0x829A, 0x829D, 0x8827, 0x9003, 0x9011, 0x920A, 0xA434))
