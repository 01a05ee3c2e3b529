"""What failed for good: the messages that failed every receive, read without taking them, and the failed images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self

from image_pipeline.events import Message, NotAnEventError
from image_pipeline.record import ImageRecord
from imgpipe import catalog
from imgpipe.aws import Clients
from imgpipe.queues import depths
from imgpipe.stack.names import StackOutputs

HIDDEN = 300
"""Seconds for which a message that is looked at stays hidden, should nobody be left to give it back."""

_BATCH = 10  # what SQS takes at once
_EXCERPT = 80
_LONGEST_KEY = 1024  # bytes; S3 has no longer ones


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message of the dead-letter queue. `keys` are the images it is about: one, or none where it is no event.

    `fault` says why it is no event, "" where it is one. `sent_at` (UTC) is when it first came into a queue.
    """

    message_id: str
    receipt_handle: str
    body: str
    attributes: Mapping[str, Any]
    sent_at: datetime
    receives: int
    keys: tuple[str, ...]
    fault: str = ""

    @property
    def name(self) -> str:
        """What to call it: its image's key, else its own id."""
        return self.keys[0] if self.keys else self.message_id

    @property
    def excerpt(self) -> str:
        """The beginning of the body on one line."""
        text = " ".join(self.body[: 4 * _EXCERPT].split())
        return text if len(text) <= _EXCERPT else f"{text[: _EXCERPT - 1]}…"

    def is_one_of(self, names: Sequence[str]) -> bool:
        """Whether it is about one of these keys, or is called so itself."""
        return self.message_id in names or any(key in names for key in self.keys)

    def to_json(self) -> dict[str, Any]:
        """The message as `failures purge` keeps it; `body` is what has to be sent to bring it back."""
        return {
            "message_id": self.message_id,
            "image_key": self.keys[0] if self.keys else None,
            "sent_at": iso(self.sent_at),
            "receives": self.receives,
            "body": self.body,
            **({"attributes": _readable(self.attributes)} if self.attributes else {}),
        }


class Look:
    """One pass over the dead-letter queue: whatever was not deleted by its end is given back as it was.

    Only handles are kept of what has been seen, so thousands of messages need no memory to speak of.
    """

    def __init__(self, clients: Clients, names: StackOutputs) -> None:
        self._sqs, self._names = clients["sqs"], names
        # Without waiting, SQS asks only some of its servers, and may say that a queue is empty that is not.
        self._wait = 1 if clients.connection.endpoint_url is None else 0
        self._held: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        # What ended the look is what its caller has to hear of.
        with suppress(*((Exception,) if kind else ())):
            self.give_back()

    def batches(self) -> Iterator[list[DeadLetter]]:
        """Up to ten messages at a time, each message once, until there are no more."""
        while True:
            answer = self._sqs.receive_message(
                QueueUrl=self._names.dead_letter_queue_url,
                MaxNumberOfMessages=_BATCH,
                VisibilityTimeout=HIDDEN,
                WaitTimeSeconds=self._wait,
                MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
                MessageAttributeNames=["All"],
            )
            found = [_letter(one, self._names.input_bucket) for one in answer.get("Messages", ())]
            fresh = [one for one in found if one.message_id not in self._held]
            self._held |= {one.message_id: one.receipt_handle for one in found}
            if not fresh:
                return
            yield fresh

    def delete(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Delete at most ten messages; returns those that are still there."""
        if not letters:
            return []
        entries = [{"Id": str(n), "ReceiptHandle": one.receipt_handle} for n, one in enumerate(letters)]
        answer = self._sqs.delete_message_batch(QueueUrl=self._names.dead_letter_queue_url, Entries=entries)
        kept = {int(one["Id"]) for one in answer.get("Failed", ())}
        for number, one in enumerate(letters):
            if number not in kept:
                self._held.pop(one.message_id, None)
        return [letters[number] for number in sorted(kept)]

    def give_back(self) -> None:
        """Let everybody see again what is held. What cannot be given back comes back after HIDDEN seconds."""
        handles = list(self._held.values())
        self._held.clear()
        for start in range(0, len(handles), _BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for number, handle in enumerate(handles[start : start + _BATCH])
            ]
            self._sqs.change_message_visibility_batch(QueueUrl=self._names.dead_letter_queue_url, Entries=entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An image that was refused: why, and when (ISO-8601 UTC)."""

    image_key: str
    code: str
    reason: str
    failed_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """A dead letter in words. `image_key` is None and `excerpt` the beginning of its body where it is no event."""

    message_id: str
    image_key: str | None
    code: str
    reason: str
    sent_at: str
    receives: int
    excerpt: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """Failed images, newest first, and dead letters, in no order; and how many more there are of each."""

    failed: list[Failed]
    letters: list[Dead]
    more_failed: int
    more_letters: int

    def to_json(self) -> dict[str, Any]:
        """What `imgpipe failures --json` prints."""
        return {
            "failed": [asdict(one) for one in self.failed],
            "dead_letters": [asdict(one) for one in self.letters],
            "more": {"failed": self.more_failed, "dead_letters": self.more_letters},
        }


def listing(clients: Clients, names: StackOutputs, limit: int) -> Listing:
    """At most `limit` failed images, newest first, and as many dead letters."""
    count = depths(clients, names.dead_letter_queue_url).total
    letters: list[DeadLetter] = []
    with Look(clients, names) as look:
        for batch in look.batches():
            letters += batch
            if len(letters) >= limit:
                break
    count, letters = max(count, len(letters)), letters[:limit]
    page = catalog.page(clients, names.table, catalog.Query(failed=True), limit)
    keys = [entry.image_key for entry in page.entries]
    records = catalog.rows(clients, names.table, list({*keys, *(key for one in letters for key in one.keys[:1])}))
    return Listing(
        [
            Failed(image_key=key, code=why.code.value, reason=why.reason, failed_at=record.processed_at)
            for key in keys
            if (record := records.get(key)) and (why := record.failure)
        ],
        [in_words(one, records.get(one.name)) for one in letters],
        max(0, catalog.count_failed(clients, names.table) - len(keys)) if page.next else 0,
        count - len(letters),
    )


def about(clients: Clients, names: StackOutputs, key: str, most: int) -> tuple[list[DeadLetter], bool]:
    """The dead letters about one image, and whether all were looked at: at most `most` are, or few more."""
    found: list[DeadLetter] = []
    seen = 0
    with Look(clients, names) as look:
        for batch in look.batches():
            seen += len(batch)
            found += [one for one in batch if key in one.keys]
            if seen >= most:
                return found, False
    return found, True


def in_words(letter: DeadLetter, record: ImageRecord | None) -> Dead:
    """Why a message is a dead letter, from itself and the record of its image."""
    if letter.fault:
        code, reason = "not_an_event", f"{letter.fault[0].upper()}{letter.fault[1:]}."
    elif record is None:
        code, reason = "no_record", "The image has no record: its object is gone, or the table was out of reach."
    elif record.failure is not None:
        code, reason = record.failure.code.value, record.failure.reason
    else:
        code, reason = "left_over", "The image is READY all the same: sent back, the message finds nothing to do."
    return Dead(
        message_id=letter.message_id,
        image_key=letter.keys[0] if letter.keys else None,
        code=code,
        reason=reason,
        sent_at=iso(letter.sent_at),
        receives=letter.receives,
        excerpt=letter.excerpt if letter.fault else None,
    )


def iso(moment: datetime) -> str:
    """A moment as the record writes them, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _letter(message: Mapping[str, Any], bucket: str) -> DeadLetter:
    said = message.get("Attributes", {})
    keys, fault = _keys(message, bucket)
    return DeadLetter(
        message_id=message["MessageId"],
        receipt_handle=message["ReceiptHandle"],
        body=message["Body"],
        attributes=message.get("MessageAttributes", {}),
        sent_at=datetime.fromtimestamp(int(said.get("SentTimestamp", 0)) / 1000, UTC),
        receives=int(said.get("ApproximateReceiveCount", 0)),
        keys=keys,
        fault=fault,
    )


def _keys(message: Mapping[str, Any], bucket: str) -> tuple[tuple[str, ...], str]:
    """The images that a message is about, or why it is no event."""
    event = Message(id=message["MessageId"], receipt_handle="", receive_count=0, body=message["Body"])
    try:
        keys = tuple(dict.fromkeys(image.key for image in event.images(bucket)))
        if any(len(key.encode()) > _LONGEST_KEY for key in keys):
            return (), f"the key is longer than {_LONGEST_KEY} bytes"
    except NotAnEventError as error:
        return (), str(error)
    except RecursionError:
        return (), "the message body is nested too deeply"
    except UnicodeEncodeError:
        return (), "the key is not Unicode"
    return keys, "" if keys else "the message is a test event and about no image"


def _readable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Message attributes as JSON: bytes in base64, as the AWS CLI takes them."""
    from base64 import b64encode

    def plain(value: Any) -> Any:
        return b64encode(value).decode() if isinstance(value, bytes) else value

    kept = ("DataType", "StringValue", "BinaryValue")
    return {name: {k: plain(v) for k, v in one.items() if k in kept} for name, one in attributes.items()}
