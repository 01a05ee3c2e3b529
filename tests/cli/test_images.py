"""Uploading and waiting, against a real bucket and table whose rows the test writes itself."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from boto3.dynamodb.types import TypeSerializer

from image_pipeline.record import Failure, ImageRecord, Refusal, Source, Status
from imgpipe import images
from imgpipe.aws import Clients
from imgpipe.images import Result, Upload
from imgpipe.sources import Item

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

    def write(self, version: str | None, *, key: str = ITEM.key, failure: Failure | None = None) -> None:
        record = ImageRecord(
            image_key=key,
            status=Status.FAILED if failure else Status.READY,
            file_name=key,
            user="ada",
            uploaded_at="2026-01-31T12:00:00Z",
            source=Source(bucket=self.bucket, key=key, uri=f"s3://{self.bucket}/{key}", version_id=version),
            recipe="r",
            revision="1",
            processed_at="2026-01-31T12:00:01Z",
            request_id="q",
            failure=failure,
        )
        serialize = TypeSerializer().serialize
        item = {name: serialize(value) for name, value in record.to_item().items()}
        self.clients["dynamodb"].put_item(TableName=self.table, Item=item)

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


def test_crashed_may_still_become_ready(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash_then_succeed(version: str) -> None:
        stack.write(version, failure=Failure(code=Refusal.CRASHED, reason="The worker did not survive."))
        threading.Timer(0.3, stack.write, [version]).start()

    stack.after_upload(crash_then_succeed)
    assert stack.upload(ITEM)[0].state == "ready"
    monkeypatch.setattr(images, "_CRASH_GRACE", 0.2)
    stack.write(stack.version(), failure=Failure(code=Refusal.CRASHED, reason="The worker did not survive."))
    waiter = images.Waiter(stack.clients, stack.bucket, stack.table)
    waiter.add(ITEM, stack.version())
    found: list[Result] = []
    while not found:
        found = list(waiter.poll())
    assert found[0].state == "failed"


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
