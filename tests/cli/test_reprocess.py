"""Sending jobs and watching for their ends, against a real queue and table whose rows the test writes itself."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer

from image_pipeline.events import images as images_of
from image_pipeline.record import Failure, ImageRecord, Output, Refusal, Source, Status
from imgpipe import catalog, reprocess
from imgpipe.aws import Clients
from imgpipe.commands.base import Invocation
from imgpipe.commands.reprocess import UNASKED, _asked
from imgpipe.errors import ImgpipeError
from imgpipe.reprocess import Image, Reprocessing, Result, chosen, job, lacking
from imgpipe.stack.names import StackOutputs

RECORD = ImageRecord(
    image_key="photo.jpg",
    status=Status.READY,
    file_name="photo.jpg",
    user="ada",
    uploaded_at="2026-01-31T12:00:00Z",
    source=Source(bucket="b", key="photo.jpg", uri="s3://b/photo.jpg"),
    recipe="r",
    revision="old",
    processed_at="2026-01-31T12:00:01Z",
    request_id="q",
)


@dataclass(frozen=True)
class Stack:
    clients: Clients
    names: StackOutputs

    def write(self, record: ImageRecord) -> None:
        item = {name: TypeSerializer().serialize(value) for name, value in record.to_item().items()}
        self.clients["dynamodb"].put_item(TableName=self.names.table, Item=item)

    def jobs(self) -> list[str]:
        """The keys of the jobs that wait, each taken out of the queue."""
        keys, queue, sqs = [], self.names.jobs_queue_url, self.clients["sqs"]
        while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                (image,) = images_of(json.loads(message["Body"]), self.names.input_bucket)
                assert image.force
                keys.append(image.key)
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return keys

    def run(
        self, *images: Image | None, wait: bool = True, timeout: float = 10, on: Callable[[int], None] = lambda _: None
    ) -> list[Result]:
        return list(Reprocessing(self.clients, self.names, wait=wait, timeout=timeout).results(images, on))


@pytest.fixture
def stack(clients: Clients) -> Iterator[Stack]:
    name = f"reprocess-{uuid.uuid4().hex[:8]}"
    clients["s3"].create_bucket(Bucket=name)
    queue = clients["sqs"].create_queue(QueueName=name)["QueueUrl"]
    keys = ("image_key", "failed", "processed_at")
    clients["dynamodb"].create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        KeySchema=[{"AttributeName": "image_key", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "failed",
                "KeySchema": [
                    {"AttributeName": "failed", "KeyType": "HASH"},
                    {"AttributeName": "processed_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    rest = ("resized_bucket", "thumbnails_bucket", "function", "log_group", "dead_letter_queue_url", "topic")
    yield Stack(
        clients,
        StackOutputs(
            input_bucket=name,
            table=name,
            jobs_queue_url=queue,
            event_source_mapping="",
            **dict.fromkeys(rest, ""),
        ),
    )
    clients["dynamodb"].delete_table(TableName=name)
    clients["sqs"].delete_queue(QueueUrl=queue)


@pytest.mark.parametrize("key", ["a+b.jpg", "two words.jpg", "100%.jpg", "%2F.jpg", "é/日本語.jpg", "line\nbreak"])
def test_a_job_names_the_key_and_the_user_as_they_are(key: str) -> None:
    (event,) = images_of(json.loads(job("ours", Image(key, "1", "größe"))), "ours")
    assert (event.key, event.principal, event.force) == (key, "größe", True)
    assert event.time is not None


def test_however_many_there_are_only_a_window_of_them_waits(stack: Stack) -> None:
    def rows() -> Iterator[ImageRecord]:
        for number in range(1000):
            assert number <= reprocess.WINDOW + reprocess._BATCH, "the table is read far ahead of the queue"
            yield replace(RECORD, image_key=f"{number}.jpg")

    work = Reprocessing(stack.clients, stack.names, wait=True, timeout=0.5)
    for number in range(1000):
        stack.write(replace(RECORD, image_key=f"{number}.jpg"))
        if number > reprocess.WINDOW:
            break
    results = list(work.results(chosen(rows(), lambda _: True), lambda _: None))
    assert {one.state for one in results} == {"timed_out"}
    assert len(stack.jobs()) == len(results) == work.sent == reprocess.WINDOW
    assert work.unfinished


def test_rows_that_are_left_alone_count_as_progress(stack: Stack) -> None:
    done: list[int] = []
    results = stack.run(None, Image("a"), None, wait=False, on=done.append)
    assert ([one.state for one in results], done[-1]) == (["sent"], 3)
    assert stack.jobs() == ["a"]


def test_what_sqs_has_no_room_for_is_sent_again_and_what_it_refuses_is_told(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reprocess, "_PAUSES", (0.01, 0.01))
    sent: list[list[str]] = []

    def answer(params: dict[str, Any], **_: Any) -> Any:
        entries = json.loads(params["body"])["Entries"]
        keys = [json.loads(one["MessageBody"])["Records"][0]["s3"]["object"]["key"] for one in entries]
        sent.append(keys)
        faults = {"busy": False, "bad": True} | ({"once": False} if len(sent) == 1 else {})
        failed = [
            {"Id": one["Id"], "SenderFault": faults[key], "Code": "Busy", "Message": "no"}
            for one, key in zip(entries, keys, strict=True)
            if key in faults
        ]
        ok = [{"Id": one["Id"], "MessageId": "1", "MD5OfMessageBody": "0" * 32} for one in entries]
        return SimpleNamespace(status_code=200), {"Successful": ok, "Failed": failed}

    events, name = stack.clients["sqs"].meta.events, "before-call.sqs.SendMessageBatch"
    events.register(name, answer)
    try:
        results = stack.run(*map(Image, ("good", "once", "busy", "bad")), wait=False)
    finally:
        events.unregister(name, answer)
    assert {one.key: one.state for one in results} == {
        "good": "sent",
        "once": "sent",
        "busy": "not_sent",
        "bad": "not_sent",
    }
    assert sent == [["good", "once", "busy", "bad"], ["once", "busy"], ["busy"]]


def test_a_row_that_was_written_anew_ends_the_wait_and_the_old_one_does_not(stack: Stack) -> None:
    stack.write(RECORD)
    assert [one.state for one in stack.run(Image("photo.jpg", "old"), timeout=0.3)] == ["timed_out"]
    stack.write(replace(RECORD, revision="new"))
    (result,) = stack.run(Image("photo.jpg", "old"))
    assert (result.state, result.record and result.record.revision) == ("ready", "new")


def test_a_row_that_is_gone_ends_the_wait(stack: Stack) -> None:
    (result,) = stack.run(Image("photo.jpg", "old"))
    assert result.state == "deleted"


def test_however_many_without_a_row_wait_for_their_turn_s3_is_asked_of_few(stack: Stack) -> None:
    keys = [f"{number}.jpg" for number in range(30)]
    for key in keys:
        stack.clients["s3"].put_object(Bucket=stack.names.input_bucket, Key=key, Body=b"")
    asked: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        asked.append(params["Key"])

    events, name = stack.clients["s3"].meta.events, "provide-client-params.s3.HeadObject"
    events.register(name, note)
    try:
        results = stack.run(*map(Image, keys), timeout=3)
    finally:
        events.unregister(name, note)
    assert {one.state for one in results} == {"timed_out"}
    assert 1 <= len(asked) == len(set(asked)) < 10


def test_a_crash_that_may_pass_is_waited_for(stack: Stack) -> None:
    crash = Failure(code=Refusal.CRASHED, reason=Refusal.CRASHED.sentence)
    crashed = replace(RECORD, status=Status.FAILED, failure=crash, revision="crash")
    stack.write(crashed)
    looks = 0

    def succeed_in_the_end(_: int) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            stack.write(replace(RECORD, revision="new"))

    (result,) = stack.run(Image("photo.jpg", "old"), on=succeed_in_the_end)
    assert result.state == "ready"
    stack.write(crashed)
    (result,) = stack.run(Image("photo.jpg", "old"), timeout=0.2)
    assert result.state == "failed"


def test_looks_that_fail_for_a_while_lose_nothing_and_are_told_at_the_end(stack: Stack) -> None:
    stack.write(replace(RECORD, revision="new"))
    answer = {"Error": {"Code": "InternalServerError", "Message": "x"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
    failures = 0

    def fail(**_: Any) -> Any:
        nonlocal failures
        failures += 1
        return (SimpleNamespace(status_code=500), answer) if failures < limit else None

    events, name = stack.clients["dynamodb"].meta.events, "before-call.dynamodb.BatchGetItem"
    events.register(name, fail)
    try:
        limit = 3
        assert [one.state for one in stack.run(Image("photo.jpg", "old"))] == ["ready"]
        limit = 1000
        (result,) = stack.run(Image("photo.jpg", "old"), timeout=0.2)
    finally:
        events.unregister(name, fail)
    assert result.state == "timed_out"
    assert "InternalServerError" in result.error


def test_failed_rows_are_those_that_still_are_and_each_comes_once(stack: Stack) -> None:
    failure = Failure(code=Refusal.CORRUPT, reason="damaged")
    for number in range(30):
        stack.write(replace(RECORD, image_key=f"{number}.jpg", status=Status.FAILED, failure=failure))
    stack.write(replace(RECORD, image_key="ready.jpg"))
    seen = []
    for record in catalog.failed_rows(stack.clients, stack.names.table):
        seen.append(record.image_key)
        # It fails again while the rest is read.
        stack.write(replace(record, processed_at="2027-01-01T00:00:00Z", revision="again"))
    assert sorted(seen) == sorted(f"{number}.jpg" for number in range(30))


def test_every_row_is_read_once(stack: Stack) -> None:
    for number in range(30):
        stack.write(replace(RECORD, image_key=f"{number}.jpg"))
    keys = [record.image_key for record in catalog.every_row(stack.clients, stack.names.table)]
    assert sorted(keys) == sorted(f"{number}.jpg" for number in range(30))


def made(name: str, width: int = 2000) -> ImageRecord:
    output = Output(
        name=name, width=1, height=1, bytes=1, format="jpeg", content_type="image/jpeg", bucket="b", key="k", uri="u"
    )
    return replace(RECORD, width=width, height=10, renditions=(output,))


def test_lacking_knows_what_a_small_or_a_refused_image_never_had() -> None:
    lacks = lacking({"Renditions": json.dumps({"renditions": [{"box": 2048, "min_side": 1000}]})}, "2048")
    assert lacks(made("1024"))
    assert not lacks(made("2048"))
    assert not lacks(made("1024", width=999))
    assert not lacks(replace(made("1024"), status=Status.FAILED))


@pytest.mark.parametrize("name", ["thumbnail", "64"])
def test_the_thumbnail_goes_by_two_names(name: str) -> None:
    lacks = lacking({"Renditions": ""}, name)
    assert lacks(made("1024"))
    assert not lacks(made("1024", width=1023))
    assert not lacks(replace(made("1024"), thumbnail=made("64").renditions[0]))


def test_without_a_thumbnail_there_is_none_to_lack() -> None:
    with pytest.raises(ImgpipeError) as caught:
        lacking({"Renditions": '{"thumbnail": null}'}, "thumbnail")
    assert caught.value.message == "No rendition of this pipeline is called 'thumbnail': there are 1024, 512, 128."


def on_aws(confirm: Callable[[str], bool | None]) -> Invocation:
    config: Any = SimpleNamespace(region="eu-west-1", stage="prod")
    console: Any = SimpleNamespace(confirm=confirm)
    target: Any = None
    return Invocation(config, console, target)


@pytest.mark.parametrize(("count", "answer", "asks"), [(UNASKED, None, 0), (UNASKED + 5, True, 1)])
def test_many_images_on_aws_are_made_again_when_somebody_agrees(count: int, answer: bool | None, asks: int) -> None:
    questions: list[str] = []

    def confirm(question: str) -> bool | None:
        questions.append(question)
        return answer

    invocation = on_aws(confirm)
    images = [one for number in range(count) for one in (Image(str(number)), None)]
    assert [one for one in _asked(invocation, iter(images)) if one] == images[::2]
    assert len(questions) == asks
    assert all("eu-west-1" in one and "prod" in one for one in questions)


@pytest.mark.parametrize("answer", [None, False])
def test_and_not_without(answer: bool | None) -> None:
    invocation = on_aws(lambda _: answer)
    with pytest.raises(ImgpipeError) as caught:
        _asked(invocation, iter([Image(str(number)) for number in range(UNASKED + 1)]))
    assert (caught.value.code, caught.value.status) == ("refused", 6)
