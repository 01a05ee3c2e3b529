"""The record: one shape, in Python, in DynamoDB and in JSON."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from image_pipeline.record import (
    SHARDS,
    Failure,
    ImageRecord,
    Output,
    Refusal,
    RefusedError,
    Source,
    Status,
    shard,
)

OUTPUT = Output(
    name="1024", width=1024, height=768, bytes=9, format="jpeg", content_type="image/jpeg", bucket="b", key="k", uri="u"
)
READY = ImageRecord(
    image_key="a/b.jpg",
    status=Status.READY,
    file_name="b.jpg",
    user="ada",
    uploaded_at="2026-03-01T12:30:45Z",
    source=Source(bucket="in", key="a/b.jpg", uri="s3://in/a/b.jpg", version_id="v", etag="e", bytes=10),
    recipe="0123456789ab",
    revision="r",
    processed_at="2026-03-01T12:30:46.120Z",
    request_id="q",
    format="jpeg",
    content_type="image/jpeg",
    width=4000,
    height=3000,
    mode="RGB",
    frames=1,
    sha256="00",
    renditions=(OUTPUT,),
    thumbnail=replace(OUTPUT, name="64"),
    exif={"make": "imgpipe", "iso": 100},
    dominant_colour="#102030",
    notes=("one",),
    timings_ms={"total": 5},
)
FAILED = replace(READY, status=Status.FAILED, failure=Failure(code=Refusal.EMPTY, reason="no"), thumbnail=None)


def through_dynamodb(item: dict[str, Any]) -> dict[str, Any]:
    """The item as DynamoDB's own wire types bring it back: every number a Decimal."""
    sent = {name: TypeSerializer().serialize(value) for name, value in item.items()}
    return {name: TypeDeserializer().deserialize(value) for name, value in sent.items()}


@pytest.mark.parametrize("record", [READY, FAILED])
def test_a_record_comes_back_from_dynamodb_as_it_was(record: ImageRecord) -> None:
    assert ImageRecord.from_item(through_dynamodb(record.to_item())) == record


def test_numbers_come_back_as_integers() -> None:
    back = ImageRecord.from_item(through_dynamodb(READY.to_item())).to_json()
    assert type(back["width"]) is int
    assert type(back["exif"]["iso"]) is int
    assert not any(isinstance(value, Decimal) for value in back["timings_ms"].values())


def test_every_field_has_its_place_in_the_json() -> None:
    full = replace(READY, failure=FAILED.failure).to_json()
    assert set(full) == {one.name for one in fields(ImageRecord)}


def test_absent_facts_are_absent_but_thumbnail_and_failure_are_null() -> None:
    record = replace(FAILED, width=None, format=None, failure=None)
    assert "width" not in record.to_json()
    assert record.to_json()["thumbnail"] is None
    assert record.to_json()["failure"] is None


def test_index_attributes_are_in_the_item_and_never_in_the_json() -> None:
    item = FAILED.to_item()
    number = shard("a/b.jpg")
    assert item["by_user"] == f"ada#{number}"
    assert item["by_day"] == f"2026-03-01#{number}"
    assert item["failed"] == f"FAILED#{number}"
    assert not {"by_user", "by_day", "failed"} & set(FAILED.to_json())


def test_the_failed_index_is_sparse() -> None:
    assert "failed" not in READY.to_item()


@given(st.text(st.characters(codec="utf-8")))
def test_a_shard_is_always_one_of_the_eight(key: str) -> None:
    assert 0 <= shard(key) < SHARDS


@pytest.mark.parametrize("code", list(Refusal))
def test_every_refusal_has_a_sentence(code: Refusal) -> None:
    assert code.sentence.endswith(".")
    assert RefusedError(code, "Why.").reason == f"{code.sentence} Why."
