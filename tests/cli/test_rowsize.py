"""How large DynamoDB finds a record, by the rules that AWS gives."""

from __future__ import annotations

import re
from typing import Any

import pytest

from image_pipeline.record import ImageRecord, Output, Source, Status
from imgpipe.rowsize import INDEXES, PROJECTED, Row, item_bytes
from imgpipe.stack.template import template_body


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({}, 0),
        ({"name": "photo.jpg"}, 4 + 9),
        ({"né": "ü"}, 3 + 2),
        ({"a": None, "b": True}, 2 + 2),
        ({"n": 7}, 1 + 2),
        ({"n": 1234}, 1 + 3),
        ({"n": -12345}, 1 + 4),
        ({"n": 3000}, 1 + 2),  # zeros at the end are not stored
        ({"n": 0}, 1 + 1),
        ({"l": []}, 1 + 3),
        ({"l": ["ab", 1]}, 1 + 3 + 2 + 2 + 2),
        ({"m": {"k": "vw"}}, 1 + 3 + 1 + 1 + 2),
    ],
)
def test_an_item_is_as_large_as_its_names_and_values(item: dict[str, Any], size: int) -> None:
    assert item_bytes(item) == size


def test_the_indexes_are_those_of_the_template() -> None:
    text = template_body()
    found = re.findall(
        r"IndexName: (\w+)\n\s+KeySchema:\n\s+- { AttributeName: (\w+), .*\n\s+- { AttributeName: (\w+), .*\n"
        r"\s+Projection:\n.*\n\s+NonKeyAttributes: \[(.*)\]",
        text,
    )
    assert {index: (first, second) for index, first, second, _ in found if index != "failed"} == INDEXES
    assert len(found) == len(INDEXES) + 1
    for index, _, _, projected in found:
        if index != "failed":
            assert ("image_key", *projected.split(", ")) == PROJECTED


def record(outputs: int, key: str) -> ImageRecord:
    bucket = "imgpipe-prod-resized-images-123456789012-us-east-1"
    made = tuple(
        Output(
            name=str(1024 >> number),
            width=1024 >> number,
            height=768 >> number,
            bytes=78_349,
            format="jpeg",
            content_type="image/jpeg",
            bucket=bucket,
            key=f"{key}/1e81db183955/{1024 >> number}.jpg",
            uri=f"s3://{bucket}/{key}/1e81db183955/{1024 >> number}.jpg",
        )
        for number in range(outputs)
    )
    return ImageRecord(
        image_key=key,
        status=Status.READY,
        file_name=key.rpartition("/")[2],
        user="ada",
        uploaded_at="2026-01-31T12:00:00Z",
        source=Source(bucket=bucket, key=key, uri=f"s3://{bucket}/{key}", version_id="v" * 32, etag="e" * 32, bytes=1),
        recipe="r" * 12,
        revision="r" * 16,
        processed_at="2026-01-31T12:00:01.123Z",
        request_id="r" * 36,
        renditions=made,
    )


def test_every_copy_of_a_record_is_written_and_stored() -> None:
    short, long = Row.of(record(1, "a.jpg")), Row.of(record(8, "a" * 900))
    assert (short.units, short.index_units) == (1, 2)
    assert long.index_units == 4
    assert long.units * 1024 - long.item_bytes in range(1024)
    assert short.stored_bytes > short.item_bytes + 3 * 100
    mean = Row.mean([short, long])
    assert mean.item_bytes == (short.item_bytes + long.item_bytes) / 2


@pytest.mark.parametrize("outputs", [1, 4, 8])
def test_a_typical_row_grows_with_its_outputs_as_real_ones_do(outputs: int) -> None:
    key = "2026/holiday/IMG_20260131_120000.jpg"
    more = Row.of(record(outputs, key)).item_bytes - Row.of(record(0, key)).item_bytes
    typical = Row.typical(outputs).item_bytes - Row.typical(0).item_bytes
    assert typical == pytest.approx(more, rel=0.15)
