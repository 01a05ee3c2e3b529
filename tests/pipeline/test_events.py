"""Envelopes: the three that S3 events travel in, and everything that is none of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_pipeline.events import REPROCESS, Message, NotAnEventError, images, is_from_queue, messages


def record(key: str = "a.jpg", bucket: str = "ours", name: str = "ObjectCreated:Put") -> dict[str, Any]:
    """One record as S3 writes it, the key form-encoded."""
    return {
        "eventVersion": "2.6",
        "eventSource": "aws:s3",
        "eventTime": "2026-03-01T12:30:45.123Z",
        "eventName": name,
        "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
        "s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(key), "versionId": "v1"}},
    }


def sqs(body: str, count: int = 1) -> dict[str, Any]:
    """One record of an SQS batch."""
    return {
        "messageId": "m-1",
        "receiptHandle": "r-1",
        "body": body,
        "attributes": {"ApproximateReceiveCount": str(count)},
        "eventSource": "aws:sqs",
    }


def test_a_bare_notification_gives_key_time_and_principal() -> None:
    (event,) = images({"Records": [record("holiday/a b+c.jpg")]}, "ours")
    assert event.key == "holiday/a b+c.jpg"
    assert event.time == datetime(2026, 3, 1, 12, 30, 45, 123000, tzinfo=UTC)
    assert event.principal == "AWS:AIDAEXAMPLE"
    assert not event.force


def test_a_notification_may_hold_several_records() -> None:
    assert [one.key for one in images({"Records": [record("a"), record("b")]}, "ours")] == ["a", "b"]


def test_an_eventbridge_key_is_taken_as_it_is() -> None:
    payload = {
        "source": "aws.s3",
        "time": "2026-03-01T12:30:45Z",
        "detail": {"bucket": {"name": "ours"}, "object": {"key": "a+b%20c.jpg"}, "requester": "123456789012"},
    }
    (event,) = images(payload, "ours")
    assert (event.key, event.principal) == ("a+b%20c.jpg", "123456789012")


def test_a_test_event_holds_no_image() -> None:
    assert list(images({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "ours"}, "ours")) == []


def test_a_reprocess_event_is_forced() -> None:
    (event,) = images({"Records": [record(name=REPROCESS)]}, "ours")
    assert event.force


def test_a_queue_delivers_messages_with_their_receive_count() -> None:
    event = {"Records": [sqs(json.dumps({"Records": [record("x")]}), count=3)]}
    assert is_from_queue(event)
    (message,) = messages(event)
    assert (message.id, message.receipt_handle, message.receive_count) == ("m-1", "r-1", 3)
    assert [one.key for one in message.images("ours")] == ["x"]


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "text",
        {},
        {"Records": []},
        {"Records": ["text"]},
        {"Records": [{"s3": {"bucket": {"name": "ours"}, "object": {"key": ""}}}]},
        {"Records": [{"s3": {"bucket": {}, "object": {"key": "a"}}}]},
        {"source": "aws.s3", "detail": {}},
        {"source": "aws.ec2", "detail": {"bucket": {"name": "ours"}, "object": {"key": "a"}}},
    ],
)
def test_anything_else_is_not_an_event(payload: Any) -> None:
    with pytest.raises(NotAnEventError):
        list(images(payload, "ours"))


def test_a_message_that_is_not_json_is_not_an_event() -> None:
    with pytest.raises(NotAnEventError, match="JSON"):
        Message(id="m", receipt_handle="r", receive_count=1, body="{").images("ours")


def test_an_event_of_another_bucket_is_refused_and_names_both() -> None:
    with pytest.raises(NotAnEventError, match=r"'theirs'.*'ours'"):
        list(images({"Records": [record(bucket="theirs")]}, "ours"))


@pytest.mark.parametrize("time", ["yesterday", None, "2026-03-01T12:30:45"])
def test_a_time_that_is_none_is_left_out(time: Any) -> None:
    (event,) = images({"Records": [record() | {"eventTime": time}]}, "ours")
    assert event.time is None


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=200))
def test_every_key_comes_out_of_a_notification_as_it_was(key: str) -> None:
    (event,) = images({"Records": [record(key)]}, "ours")
    assert event.key == key
