"""Images in and out of the pipeline: upload and wait for what becomes of them, remove and wait until they are gone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from image_pipeline.record import ImageRecord, Refusal, Status
from imgpipe import catalog
from imgpipe.aws import Clients
from imgpipe.failures import explain
from imgpipe.sources import Item

State = Literal["ready", "failed", "timed_out", "deleted", "not_sent", "sent"]

# Printable ASCII but the percent sign, which begins an encoded byte.
_PLAIN = "".join(chr(n) for n in range(0x20, 0x7F) if chr(n) != "%")
_CRASH_GRACE = 5.0
_SHORTEST_PAUSE, _LONGEST_PAUSE, _PAUSE_PER_IMAGE = 0.03, 1.0, 0.002


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one item. `record` is there for ready and failed, `error` says what went wrong otherwise."""

    item: Item
    state: State
    version_id: str | None = None
    record: ImageRecord | None = None
    error: str = ""


@dataclass(slots=True)
class _Pending:
    item: Item
    version_id: str | None
    look_at: float
    pause: float = 0.5
    crashed_at: float | None = None


class Upload:
    """Sends items with `concurrency` threads and waits for their rows.

    `results()` yields a Result for each item as it is decided. It gives up on what is left when nothing at all was
    decided for `timeout` seconds. `sent` counts what has reached S3.
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
                    pause = _SHORTEST_PAUSE if moved else min(pause * 1.5, _LONGEST_PAUSE)
                    # Looking costs both sides something for each key, and the images are made meanwhile.
                    look_at = time.monotonic() + pause + len(waiting.pending) * _PAUSE_PER_IMAGE
                if moved:
                    deadline = now + self._timeout
                elif now > deadline:
                    yield from waiting.give_up(self._timeout)
                    return
        finally:
            pool.shutdown(cancel_futures=True)

    def _sent(self, sending: dict[Future[str | None], Item], waiting: Waiter, seconds: float) -> Iterator[Result]:
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
                yield Result(item, "sent", version_id=future.result())


class Waiter:
    """Watches the table until the row of each sent item speaks of the version that was sent, or of a newer one."""

    def __init__(self, clients: Clients, bucket: str, table: str) -> None:
        self._clients, self._bucket, self._table = clients, bucket, table
        self.pending: dict[str, _Pending] = {}

    def add(self, item: Item, version_id: str | None) -> None:
        """Wait for this item too."""
        self.pending[item.key] = _Pending(item, version_id, look_at=time.monotonic() + 2)

    def poll(self) -> Iterator[Result]:
        """One look at the table; yields what is decided now."""
        if not self.pending:
            return
        found = catalog.rows(self._clients, self._table, list(self.pending))
        for key, one in list(self.pending.items()):
            if result := self._decide(one, found.get(key)):
                del self.pending[key]
                yield result

    def give_up(self, seconds: float) -> Iterator[Result]:
        """Everything that is still pending, as timed out."""
        for one in self.pending.values():
            yield Result(one.item, "timed_out", one.version_id, error=f"no record after {seconds:g} s without news")
        self.pending.clear()

    def _decide(self, one: _Pending, record: ImageRecord | None) -> Result | None:
        now = time.monotonic()
        if record is not None and record.source.version_id == one.version_id:
            return self._settled(one, record, now)
        # Another row, or none, for long: someone may have replaced or deleted the object meanwhile.
        if now < one.look_at:
            return None
        one.look_at, one.pause = now + one.pause, min(one.pause * 2, 5.0)
        current = serves(self._clients, self._bucket, one.item.key)
        if current is None and record is None:
            return Result(one.item, "deleted", one.version_id, error="the object was deleted meanwhile")
        if current is not None and current["VersionId"] != one.version_id and record is not None:
            newer = record.source.version_id == current["VersionId"]
            return self._settled(one, record, now) if newer else None
        return None

    @staticmethod
    def _settled(one: _Pending, record: ImageRecord, now: float) -> Result | None:
        if record.status is Status.READY:
            return Result(one.item, "ready", one.version_id, record)
        # A last attempt writes "crashed" before it begins, and replaces it when it survives.
        if record.failure is not None and record.failure.code is Refusal.CRASHED:
            one.crashed_at = one.crashed_at or now
            if now - one.crashed_at < _CRASH_GRACE:
                return None
        return Result(one.item, "failed", one.version_id, record)


def serves(clients: Clients, bucket: str, key: str) -> dict[str, Any] | None:
    """HeadObject of what S3 serves under a key now, with a VersionId; None when there is no object."""
    from botocore.exceptions import ClientError

    try:
        return {"VersionId": None, **clients["s3"].head_object(Bucket=bucket, Key=key)}
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return None
        raise


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
    while left := list(catalog.rows(clients, table, left)):
        if time.monotonic() > deadline:
            break
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    return left


def _put(s3: Any, bucket: str, item: Item, user: str) -> str | None:
    with item.open() as body:
        response = s3.put_object(
            Bucket=bucket,
            Key=item.key,
            Body=body,
            ContentType=item.content_type,
            # Header values are ASCII; the function decodes what is encoded here.
            Metadata={"user": quote(user, safe=_PLAIN)},
        )
    version: str | None = response.get("VersionId")
    return version
