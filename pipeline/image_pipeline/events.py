"""The envelopes that S3 events travel in (bare, in SQS, from EventBridge), taken apart into the images they hint at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

REPROCESS = "imgpipe:Reprocess"
"""The event name that asks for an image to be made again although its row is up to date."""


class NotAnEventError(ValueError):
    """A payload that no S3 event looks like, or that speaks of a bucket that is not ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEvent:
    """A hint that something happened to `key`. What really is there, only S3 knows.

    `time` is when S3 saw it, `principal` who caused it, `force` asks for the work even where the row is up to date.
    """

    bucket: str
    key: str
    time: datetime | None = None
    principal: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One SQS message. `receive_count` is 1 on the first delivery."""

    id: str
    receipt_handle: str
    receive_count: int
    body: str

    def images(self, bucket: str) -> list[ImageEvent]:
        """The images the message hints at, none for `s3:TestEvent`; raises NotAnEventError."""
        try:
            payload = json.loads(self.body)
        except ValueError:
            raise NotAnEventError("the message body is not JSON") from None
        return list(images(payload, bucket))


def is_from_queue(event: Any) -> bool:
    """Whether Lambda was invoked by an SQS event source mapping."""
    records = event.get("Records") if isinstance(event, Mapping) else None
    return isinstance(records, list) and bool(records) and _get(records[0], "eventSource") == "aws:sqs"


def messages(event: Mapping[str, Any]) -> list[Message]:
    """The messages of an SQS batch."""
    return [
        Message(
            id=record["messageId"],
            receipt_handle=record["receiptHandle"],
            receive_count=int(record["attributes"]["ApproximateReceiveCount"]),
            body=record["body"],
        )
        for record in event["Records"]
    ]


def images(payload: Any, bucket: str) -> Iterator[ImageEvent]:
    """The images in a bare S3 notification or an EventBridge S3 event, none for `s3:TestEvent`.

    Raises NotAnEventError for anything else, and for an event of any bucket but `bucket`.
    """
    if _get(payload, "Event") == "s3:TestEvent":
        return
    if _get(payload, "source") == "aws.s3":
        found = [_from_eventbridge(payload)]
    elif isinstance(records := _get(payload, "Records"), list) and records:
        found = [_from_notification(record) for record in records]
    else:
        raise NotAnEventError("the payload is neither an S3 notification nor an EventBridge S3 event")
    for image in found:
        if image.bucket != bucket:
            raise NotAnEventError(
                f"the event is about the bucket {image.bucket!r}, and this function serves {bucket!r}"
            )
    yield from found


def _from_notification(record: Any) -> ImageEvent:
    s3 = _get(record, "s3")
    bucket, key = _get(_get(s3, "bucket"), "name"), _get(_get(s3, "object"), "key")
    if not isinstance(bucket, str) or not isinstance(key, str) or not key:
        raise NotAnEventError("a record names no bucket and key")
    return ImageEvent(
        bucket=bucket,
        # S3 form-encodes the key of a notification, so it is decoded exactly once, here.
        key=unquote_plus(key),
        time=_time(_get(record, "eventTime")),
        principal=_text(_get(_get(record, "userIdentity"), "principalId")),
        force=_get(record, "eventName") == REPROCESS,
    )


def _from_eventbridge(payload: Mapping[str, Any]) -> ImageEvent:
    detail = _get(payload, "detail")
    bucket, key = _get(_get(detail, "bucket"), "name"), _get(_get(detail, "object"), "key")
    if not isinstance(bucket, str) or not isinstance(key, str) or not key:
        raise NotAnEventError("the EventBridge event names no bucket and key")
    # EventBridge delivers the key as it is; decoding it would turn "a+b" into "a b".
    return ImageEvent(
        bucket=bucket, key=key, time=_time(_get(payload, "time")), principal=_text(_get(detail, "requester"))
    )


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _time(value: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else None
