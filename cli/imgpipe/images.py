"""Images in and out of the pipeline: upload and wait for what becomes of them, remove and wait until they are gone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import quote

from image_pipeline.record import ImageRecord, Refusal, Status
from imgpipe import catalog
from imgpipe.aws import Clients
from imgpipe.failures import explain, is_remote, may_pass
from imgpipe.sources import Item

State = Literal["ready", "failed", "timed_out", "deleted", "not_sent", "sent"]

# Printable ASCII but the percent sign, which begins an encoded byte.
_PLAIN = "".join(chr(n) for n in range(0x20, 0x7F) if chr(n) != "%")
# A worker that may still be at it when the row says "crashed" has at most the function's timeout left.
_CRASH_GRACE = 60.0
# Seconds. What an image waits for the next look is at most a quarter of the time it took.
_SHORTEST_PAUSE, _LONGEST_PAUSE, _GROWTH, _PAUSE_PER_IMAGE = 0.02, 1.0, 1.25, 0.002


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one item. `record` is there for ready and failed, `error` says what went wrong otherwise."""

    item: Item
    state: State
    version_id: str | None = None
    record: ImageRecord | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """The version that S3 made of an item, and when (UTC, by S3's clock)."""

    version_id: str | None
    at: datetime


@dataclass(slots=True)
class Verdict:
    """Tells a row that is final from one that says "crashed" because a last attempt has begun: that is `crashed`."""

    crashed: ImageRecord | None = None
    _since: float = 0.0

    def of(self, record: ImageRecord) -> Literal["ready", "failed"] | None:
        """What the row says, or None while a worker may still be at it."""
        if record.status is Status.READY:
            return "ready"
        # A last attempt writes this very sentence before it begins, and replaces it if it survives.
        if record.failure is not None and record.failure.reason == Refusal.CRASHED.sentence:
            now = time.monotonic()
            if self.crashed is None or self.crashed.revision != record.revision:
                self.crashed, self._since = record, now
            if now - self._since < _CRASH_GRACE:
                return None
        return "failed"


@dataclass(slots=True)
class _Pending:
    item: Item
    sent: Sent
    look_at: float
    pause: float = 0.5
    verdict: Verdict = field(default_factory=Verdict)

    def result(self, state: State, record: ImageRecord | None = None, error: str = "") -> Result:
        return Result(self.item, state, self.sent.version_id, record, error)


class Upload:
    """Sends items with `concurrency` threads and waits for their rows.

    `results()` yields a Result for each item as it is decided. It gives up on what is left when nothing at all was
    decided for `timeout` seconds; a look at the table that fails is no news, and the next one may succeed. `sent`
    counts what has reached S3.
    """

    def __init__(
        self, clients: Clients, bucket: str, table: str, *, user: str, concurrency: int, wait: bool, timeout: float
    ) -> None:
        self._clients, self._bucket, self._table = clients, bucket, table
        self._user, self._concurrency, self._wait, self._timeout = user, concurrency, wait, timeout
        self.sent = 0

    def results(self, items: Sequence[Item]) -> Iterator[Result]:
        """Send everything, yielding each item's Result; when closed early, what was not begun is not sent."""
        s3 = self._clients["s3"]
        pool = ThreadPoolExecutor(self._concurrency)
        try:
            sending = {pool.submit(_put, s3, self._bucket, item, self._user): item for item in items}
            waiting = Waiter(self._clients, self._bucket, self._table)
            pause, look_at, deadline = _SHORTEST_PAUSE, time.monotonic(), time.monotonic() + self._timeout
            while sending or waiting.pending:
                moved = bool(sending)
                for result in self._sent(sending, waiting, look_at - time.monotonic()):
                    yield result
                if (now := time.monotonic()) >= look_at:
                    for result in waiting.poll():
                        moved = True
                        yield result
                    pause = _SHORTEST_PAUSE if moved else min(pause * _GROWTH, _LONGEST_PAUSE)
                    # Looking costs both sides something for each key, and the images are made meanwhile.
                    look_at = time.monotonic() + pause + len(waiting.pending) * _PAUSE_PER_IMAGE
                if moved:
                    deadline = now + self._timeout
                elif now > deadline:
                    yield from waiting.give_up(self._timeout)
                    return
        finally:
            pool.shutdown(cancel_futures=True)

    def _sent(self, sending: dict[Future[Sent], Item], waiting: Waiter, seconds: float) -> Iterator[Result]:
        """What has reached S3 within the next `seconds`, handed over to be waited for."""
        if not sending:
            time.sleep(max(0.0, seconds))
            return
        done, _ = wait_for(sending, timeout=max(0.0, seconds), return_when=FIRST_COMPLETED)
        for future in done:
            item = sending.pop(future)
            if error := future.exception():
                yield Result(item, "not_sent", error=explain(error).message)
                continue
            self.sent += 1
            if self._wait:
                waiting.add(item, future.result())
            else:
                yield Result(item, "sent", version_id=future.result().version_id)


class Waiter:
    """Watches the table until the row of each sent item speaks of the version that was sent, or of a newer one."""

    def __init__(self, clients: Clients, bucket: str, table: str) -> None:
        self._clients, self._bucket, self._table = clients, bucket, table
        self.pending: dict[str, _Pending] = {}
        self._trouble: Exception | None = None

    def add(self, item: Item, sent: Sent) -> None:
        """Wait for this item too."""
        self.pending[item.key] = _Pending(item, sent, look_at=time.monotonic() + 2)

    def poll(self) -> Iterator[Result]:
        """One look at the table; yields what is decided now. What AWS fails to answer stays pending."""
        if not self.pending:
            return
        self._trouble = None
        with self._remembering():
            found = catalog.rows(self._clients, self._table, list(self.pending))
        if self._trouble:
            return
        unsure: list[tuple[_Pending, ImageRecord | None]] = []
        for key, one in list(self.pending.items()):
            record = found.get(key)
            if record is None or not _speaks_of(one.sent, record):
                unsure.append((one, record))
            elif result := self._settled(one, record):
                del self.pending[key]
                yield result
        yield from self._replaced_or_deleted(unsure)

    def _replaced_or_deleted(self, unsure: list[tuple[_Pending, ImageRecord | None]]) -> Iterator[Result]:
        """What S3 says of those that have long had another row, or none, beginning with whom it was asked of least.

        Only until it has no news: where hundreds wait for their turn, most are as they were sent, and each question
        takes both sides longer than a look at the rows of all.
        """
        for one, record in sorted(unsure, key=lambda pair: pair[0].look_at):
            if (now := time.monotonic()) < one.look_at:
                return
            one.look_at, one.pause = now + one.pause, min(one.pause * 2, 5.0)
            result = None
            with self._remembering():
                result = self._by_the_object(one, record)
            if not result:
                return
            del self.pending[one.item.key]
            yield result

    def give_up(self, seconds: float) -> Iterator[Result]:
        """Everything that is still pending: failed where the row says so for now, else timed out."""
        why = f"; the last look failed: {explain(self._trouble).message}" if self._trouble else ""
        for one in self.pending.values():
            if one.verdict.crashed:
                yield one.result("failed", one.verdict.crashed)
            else:
                yield one.result("timed_out", error=f"no record after {seconds:g} s without news{why}")
        self.pending.clear()

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not is_remote(error):
                raise
            self._trouble = error

    def _by_the_object(self, one: _Pending, record: ImageRecord | None) -> Result | None:
        current = serves(self._clients, self._bucket, one.item.key)
        if current is None and record is None:
            return one.result("deleted", error="the object was deleted meanwhile")
        if current is not None and current["VersionId"] != one.sent.version_id and record is not None:
            newer = record.source.version_id == current["VersionId"]
            return self._settled(one, record) if newer else None
        return None

    @staticmethod
    def _settled(one: _Pending, record: ImageRecord) -> Result | None:
        state = one.verdict.of(record)
        return one.result(state, record) if state else None


def _speaks_of(sent: Sent, record: ImageRecord) -> bool:
    """Whether the row is about what was sent.

    One without a version says that an object may not be read: it is ours if it was written after ours came.
    """
    if record.source.version_id == sent.version_id:
        return True
    denied = record.status is Status.FAILED and record.source.version_id is None
    return denied and datetime.fromisoformat(record.processed_at) >= sent.at


def serves(clients: Clients, bucket: str, key: str) -> dict[str, Any] | None:
    """HeadObject of what S3 serves under a key now, with a VersionId; None when there is no object."""
    from botocore.exceptions import ClientError

    try:
        return {"VersionId": None, **clients["s3"].head_object(Bucket=bucket, Key=key)}
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return None
        raise


def is_folder(key: str, served: Mapping[str, Any]) -> bool:
    """Whether an object, as `serves` shows it, is what consoles make of an empty folder: it never has a row."""
    return key.endswith("/") and not served["ContentLength"]


def keys_below(clients: Clients, bucket: str, prefix: str) -> list[str]:
    """The keys of all objects that begin with `prefix`."""
    pages = clients["s3"].get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def remove(clients: Clients, bucket: str, keys: Sequence[str]) -> None:
    """Delete objects one by one: a key with a control character cannot stand in the XML of a batch."""
    s3 = clients["s3"]
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda key: s3.delete_object(Bucket=bucket, Key=key), keys):
            pass


def wait_until_gone(clients: Clients, table: str, keys: Sequence[str], timeout: float) -> list[str]:
    """Wait until none of the keys has a row; returns the keys that still have one after `timeout` seconds."""
    left, pause, deadline = list(keys), _SHORTEST_PAUSE, time.monotonic() + timeout
    while True:
        try:
            left = list(catalog.rows(clients, table, left))
        except Exception as error:
            if not may_pass(error):
                raise
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)


def _put(s3: Any, bucket: str, item: Item, user: str) -> Sent:
    begun = datetime.now(UTC)
    with item.open() as body:
        response = s3.put_object(
            Bucket=bucket,
            Key=item.key,
            Body=body,
            ContentType=item.content_type,
            # Header values are ASCII; the function decodes what is encoded here.
            Metadata={"user": quote(user, safe=_PLAIN)},
        )
    date = response["ResponseMetadata"]["HTTPHeaders"].get("date")
    return Sent(response.get("VersionId"), parsedate_to_datetime(date) if date else begun)
