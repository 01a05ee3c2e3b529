"""Uploading and waiting, against a real bucket and table whose rows the test writes itself."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer

from image_pipeline.record import Failure, ImageRecord, Refusal, Source, Status
from imgpipe import images
from imgpipe.aws import Clients
from imgpipe.images import Result, Sent, Upload
from imgpipe.sources import Item, collect

ITEM = Item("photo.jpg", "photo.jpg", "image/jpeg", b"\xff\xd8\xff")


@dataclass(frozen=True)
class Stack:
    clients: Clients
    bucket: str
    table: str

    def upload(self, *items: Item, wait: bool = True, timeout: float = 10, user: str = "ada") -> list[Result]:
        sending = Upload(self.clients, self.bucket, self.table, user=user, concurrency=4, wait=wait, timeout=timeout)
        return list(sending.results(items))

    def version(self, key: str = ITEM.key) -> str | None:
        head = images.serves(self.clients, self.bucket, key)
        return head["VersionId"] if head else None

    def write(
        self,
        version: str | None,
        *,
        key: str = ITEM.key,
        failure: Failure | None = None,
        at: str = "2026-01-31T12:00:01Z",
        revision: str = "1",
    ) -> None:
        record = ImageRecord(
            image_key=key,
            status=Status.FAILED if failure else Status.READY,
            file_name=key,
            user="ada",
            uploaded_at="2026-01-31T12:00:00Z",
            source=Source(bucket=self.bucket, key=key, uri=f"s3://{self.bucket}/{key}", version_id=version),
            recipe="r",
            revision=revision,
            processed_at=at,
            request_id="q",
            failure=failure,
        )
        serialize = TypeSerializer().serialize
        item = {name: serialize(value) for name, value in record.to_item().items()}
        self.clients["dynamodb"].put_item(TableName=self.table, Item=item)

    @contextmanager
    def failing(self, service: str, operation: str, code: str = "InternalServerError") -> Iterator[None]:
        """Answer an operation with an error, as AWS does after all retries."""
        answer = {"Error": {"Code": code, "Message": "try later"}, "ResponseMetadata": {"HTTPStatusCode": 500}}

        def fail(**_: Any) -> Any:
            return SimpleNamespace(status_code=500), answer

        events, name = self.clients[service].meta.events, f"before-call.{service}.{operation}"
        events.register(name, fail)
        try:
            yield
        finally:
            events.unregister(name, fail)

    @contextmanager
    def counting(self, service: str, operation: str) -> Iterator[list[str]]:
        """The keys that an operation is asked with."""
        asked: list[str] = []

        def note(params: dict[str, Any], **_: Any) -> None:
            asked.append(params["Key"])

        events, name = self.clients[service].meta.events, f"provide-client-params.{service}.{operation}"
        events.register(name, note)
        try:
            yield asked
        finally:
            events.unregister(name, note)

    def after_upload(self, act: Callable[[str], None]) -> None:
        """Run `act` in another thread with the version of the photo, once S3 has one that was not there before."""
        before = self.version()

        def watch() -> None:
            while (version := self.version()) in (None, before):
                pass
            act(str(version))

        threading.Thread(target=watch, daemon=True).start()


@pytest.fixture
def stack(clients: Clients) -> Iterator[Stack]:
    name = f"images-{uuid.uuid4().hex[:8]}"
    clients["s3"].create_bucket(Bucket=name)
    clients["s3"].put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    clients["dynamodb"].create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "image_key", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "image_key", "KeyType": "HASH"}],
    )
    yield Stack(clients, name, name)
    clients["dynamodb"].delete_table(TableName=name)


def test_waiting_ends_when_the_row_speaks_of_the_version_that_was_sent(stack: Stack) -> None:
    stack.write("an older version")
    stack.after_upload(lambda version: stack.write(version))
    (result,) = stack.upload(ITEM)
    assert result.state == "ready"
    assert result.record is not None
    assert result.record.source.version_id == result.version_id == stack.version()


def test_a_refusal_ends_the_waiting_too(stack: Stack) -> None:
    why = Failure(code=Refusal.CORRUPT, reason="The file is damaged.")
    stack.after_upload(lambda version: stack.write(version, failure=why))
    (result,) = stack.upload(ITEM)
    assert (result.state, result.record and result.record.failure) == ("failed", why)


def test_a_row_of_a_newer_version_ends_the_waiting_for_an_older_one(stack: Stack) -> None:
    def replaced(_: str) -> None:
        stack.clients["s3"].put_object(Bucket=stack.bucket, Key=ITEM.key, Body=b"newer")
        stack.write(stack.version())

    stack.after_upload(replaced)
    (result,) = stack.upload(ITEM)
    assert result.state == "ready"
    assert result.version_id != stack.version()


def test_a_row_of_an_older_version_does_not(stack: Stack) -> None:
    stack.write("an older version")
    (result,) = stack.upload(ITEM, timeout=0.8)
    assert (result.state, result.record) == ("timed_out", None)


def test_an_object_that_is_deleted_meanwhile_is_not_waited_for(stack: Stack) -> None:
    stack.after_upload(lambda _: stack.clients["s3"].delete_object(Bucket=stack.bucket, Key=ITEM.key))
    (result,) = stack.upload(ITEM, timeout=20)
    assert result.state == "deleted"


PROVISIONAL = Failure(code=Refusal.CRASHED, reason=Refusal.CRASHED.sentence)


def waiting_for(stack: Stack, version: str | None) -> images.Waiter:
    waiter = images.Waiter(stack.clients, stack.bucket, stack.table)
    waiter.add(ITEM, Sent(version, datetime.now(UTC)))
    return waiter


def test_crashed_may_still_become_ready(stack: Stack) -> None:
    def crash_then_succeed(version: str) -> None:
        stack.write(version, failure=PROVISIONAL)
        threading.Timer(0.3, stack.write, [version]).start()

    stack.after_upload(crash_then_succeed)
    assert stack.upload(ITEM)[0].state == "ready"


def test_crashed_is_final_once_no_worker_can_be_at_it_any_more(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.write("1", failure=PROVISIONAL)
    waiter = waiting_for(stack, "1")
    assert images._CRASH_GRACE >= 60
    assert list(waiter.poll()) == []
    monkeypatch.setattr(images, "_CRASH_GRACE", 0)
    assert [one.state for one in waiter.poll()] == ["failed"]


def test_a_crash_whose_worker_gave_its_reason_is_final_at_once(stack: Stack) -> None:
    stack.write("1", failure=Failure(code=Refusal.CRASHED, reason="The last attempt ended with: no disk space"))
    assert [one.state for one in waiting_for(stack, "1").poll()] == ["failed"]


def test_a_crash_is_what_is_known_when_the_time_is_up(stack: Stack) -> None:
    stack.after_upload(lambda version: stack.write(version, failure=PROVISIONAL))
    (result,) = stack.upload(ITEM, timeout=1)
    assert (result.state, result.record and result.record.failure) == ("failed", PROVISIONAL)


def test_a_denial_without_a_version_is_ours_when_it_is_younger_than_what_was_sent(stack: Stack) -> None:
    denied = Failure(code=Refusal.FORBIDDEN, reason="The function may not read the object.")
    earlier, later = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
    stack.write(None, failure=denied, at=earlier.isoformat())
    waiter = waiting_for(stack, "1")
    assert list(waiter.poll()) == []
    stack.write(None, failure=denied, at=later.isoformat().replace("+00:00", "Z"))
    assert [one.state for one in waiter.poll()] == ["failed"]


def test_looks_that_fail_for_a_while_lose_nothing(stack: Stack) -> None:
    sending = Upload(stack.clients, stack.bucket, stack.table, user="ada", concurrency=1, wait=True, timeout=10)
    items = [replace(ITEM, key=f"{number}.jpg") for number in range(4)]

    def answer() -> None:
        while sending.sent < len(items):
            pass
        for item in items:
            stack.write(stack.version(item.key), key=item.key)
        broken.__exit__(None, None, None)

    broken = stack.failing("dynamodb", "BatchGetItem")
    broken.__enter__()
    threading.Thread(target=answer, daemon=True).start()
    assert [one.state for one in sending.results(items)] == ["ready"] * 4


def test_an_image_is_seen_within_a_quarter_of_the_time_that_it_took(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, looks = [0.0], []

    def sleep(seconds: float) -> None:
        clock[0] += max(seconds, 0.001)

    monkeypatch.setattr(images, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
    monkeypatch.setattr(images.Waiter, "poll", lambda _: looks.append(clock[0]) or iter(()))
    assert [one.state for one in stack.upload(ITEM, timeout=3)] == ["timed_out"]
    for last, look in pairwise(looks):
        assert look - last <= 0.25 * last + 0.03


def test_looks_that_fail_to_the_end_are_told(stack: Stack) -> None:
    with stack.failing("dynamodb", "BatchGetItem"):
        results = stack.upload(ITEM, replace(ITEM, key="other.jpg"), timeout=0.8)
    assert [one.state for one in results] == ["timed_out"] * 2
    assert all("InternalServerError" in one.error for one in results)
    assert stack.version("other.jpg")


def test_one_object_that_cannot_be_looked_at_does_not_hold_up_the_others(stack: Stack) -> None:
    waiter = images.Waiter(stack.clients, stack.bucket, stack.table)
    waiter.add(replace(ITEM, key="first.jpg"), Sent("1", datetime.now(UTC)))
    waiter.pending["first.jpg"].look_at = time.monotonic()
    waiter.add(ITEM, Sent("2", datetime.now(UTC)))
    stack.write("2")
    with stack.failing("s3", "HeadObject", "403"):
        assert [one.item.key for one in waiter.poll()] == [ITEM.key]


def waiting_for_long(stack: Stack, *keys: str) -> images.Waiter:
    waiter = images.Waiter(stack.clients, stack.bucket, stack.table)
    for number, key in enumerate(keys):
        (result,) = stack.upload(replace(ITEM, key=key), wait=False)
        waiter.add(replace(ITEM, key=key), Sent(result.version_id, datetime.now(UTC)))
        waiter.pending[key].look_at = time.monotonic() - 60 + number
    return waiter


def test_however_many_wait_for_their_turn_s3_is_asked_of_few(stack: Stack) -> None:
    waiter = waiting_for_long(stack, *(f"{number}.jpg" for number in range(30)))
    with stack.counting("s3", "HeadObject") as asked:
        assert [*waiter.poll(), *waiter.poll()] == []
    assert asked == ["0.jpg", "1.jpg"]


def test_all_that_are_deleted_are_found_at_once_where_they_stand_first(stack: Stack) -> None:
    waiter = waiting_for_long(stack, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    images.remove(stack.clients, stack.bucket, ["a.jpg", "b.jpg", "d.jpg"])
    assert [one.item.key for one in waiter.poll()] == ["a.jpg", "b.jpg"]
    assert [one.item.key for one in waiter.poll()] == ["d.jpg"]
    assert list(waiter.pending) == ["c.jpg"]


def test_an_image_in_transit_is_in_memory_only_while_it_is_sent(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "late.jpg"
    path.write_bytes(b"before")
    item = collect([str(path)], key=None, prefix="", stdin=bytes)[0]
    path.write_bytes(b"after it was named")
    stack.upload(item, wait=False)
    body = stack.clients["s3"].get_object(Bucket=stack.bucket, Key="late.jpg")["Body"].read()
    assert body == b"after it was named"


def test_without_waiting_the_version_is_the_answer(stack: Stack) -> None:
    (result,) = stack.upload(ITEM, wait=False)
    assert (result.state, result.version_id) == ("sent", stack.version())


def test_what_is_sent_carries_its_type_and_its_user_in_ascii(stack: Stack) -> None:
    stack.upload(ITEM, wait=False, user="Ada 100% Größe")
    head = images.serves(stack.clients, stack.bucket, ITEM.key)
    assert head is not None
    assert head["ContentType"] == "image/jpeg"
    assert head["Metadata"]["user"] == "Ada 100%25 Gr%C3%B6%C3%9Fe"


def test_one_item_that_cannot_be_sent_does_not_stop_the_others(stack: Stack) -> None:
    gone = replace(ITEM, key="gone.jpg", content=Path("/nowhere/gone.jpg"))
    results = {one.item.key: one for one in stack.upload(gone, ITEM, wait=False)}
    assert results["gone.jpg"].state == "not_sent"
    assert "No such file" in results["gone.jpg"].error
    assert results[ITEM.key].state == "sent"


def test_removed_images_are_gone_when_their_rows_are(stack: Stack) -> None:
    keys = ["a", "line\nbreak", "ü"]
    for key in keys:
        stack.clients["s3"].put_object(Bucket=stack.bucket, Key=key, Body=b"x")
        stack.write("1", key=key)
    images.remove(stack.clients, stack.bucket, keys)
    assert [images.serves(stack.clients, stack.bucket, key) for key in keys] == [None, None, None]
    assert set(images.wait_until_gone(stack.clients, stack.table, keys, 0.2)) == set(keys)
    for key in keys:
        stack.clients["dynamodb"].delete_item(TableName=stack.table, Key={"image_key": {"S": key}})
    assert images.wait_until_gone(stack.clients, stack.table, keys, 5) == []
