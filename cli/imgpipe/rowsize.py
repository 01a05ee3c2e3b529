"""How large a record is in DynamoDB, and how many units it takes to write it and its copies in the indexes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from image_pipeline.record import ImageRecord

INDEXES: Mapping[str, tuple[str, ...]] = {
    "by_user": ("by_user", "uploaded_at"),
    "by_day": ("by_day", "uploaded_at"),
}
"""The indexes that hold every row, with their keys; each is written, and billed, with it. A refused image is in one
more."""

PROJECTED = ("image_key", "status", "file_name", "width", "height", "format", "user")
"""What an index holds besides its keys."""

OVERHEAD = 100
"""Bytes that DynamoDB adds to the storage, not to the writing, of every item of a table or an index."""


@dataclass(frozen=True, slots=True)
class Row:
    """A record of a ready image, or the mean of several: the units to write it, those to write it into its indexes, the
    bytes of its item, and the bytes stored for it and its copies."""

    units: float
    index_units: float
    item_bytes: float
    stored_bytes: float

    @classmethod
    def of(cls, record: ImageRecord) -> Row:
        """What one record takes."""
        item = record.to_item()
        copies = [{key: item[key] for key in (*PROJECTED, *keys) if key in item} for keys in INDEXES.values()]
        size, sizes = item_bytes(item), [item_bytes(copy) for copy in copies]
        stored = sum(one + OVERHEAD for one in (size, *sizes))
        return cls(_write_units(size), sum(map(_write_units, sizes)), size, stored)

    @classmethod
    def mean(cls, rows: Sequence[Row]) -> Row:
        """The average of at least one row."""
        return cls(*(sum(column) / len(rows) for column in zip(*map(astuple, rows), strict=True)))

    @classmethod
    def typical(cls, outputs: int) -> Row:
        """Where there is no record to look at: 1,100 bytes and 290 for each output, 170 in each index, which is right
        for a key of 35 characters."""
        size = 1100 + 290 * outputs
        stored = size + OVERHEAD + len(INDEXES) * (170 + OVERHEAD)
        return cls(_write_units(size), len(INDEXES), size, stored)


def item_bytes(item: Mapping[str, Any]) -> int:
    """The size of an item in plain Python types, by DynamoDB's rules.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Any) -> int:
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping):
        return 3 + len(value) + item_bytes(value)
    if isinstance(value, list):
        return 3 + len(value) + sum(map(_value_bytes, value))
    return (len(str(abs(value)).rstrip("0")) + 1) // 2 + 1  # two digits a byte, and one for sign and exponent


def _write_units(size: int) -> int:
    return math.ceil(size / 1024)
