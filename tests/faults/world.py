"""A stack without Lambda: real buckets, table and queues, whose event source mapping is played by the test."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from itertools import count
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from PIL import Image

from image_pipeline.catalog import Catalog
from image_pipeline.record import ImageRecord, Refusal, Status
from image_pipeline.settings import Settings
from image_pipeline.storage import Storage
from imgpipe.aws import Clients

MAX_RECEIVES = 5
"""Fewer than the template has: a first, a last, and more than one between are all that differ."""

CONTEXT = SimpleNamespace(aws_request_id="req-1", get_remaining_time_in_millis=lambda: 42_000)
Handler = Callable[[dict[str, Any]], dict[str, Any] | None]


@cache
def picture(shade: int) -> bytes:
    """A tiny PNG; another shade is another picture."""
    out = BytesIO()
    Image.new("RGB", (9, 6), (shade, 30, 60)).save(out, "PNG")
    return out.getvalue()


@dataclass
class World:
    """`deliver` is the function: given an event of Lambda's, its answer, or None where the worker died."""

    clients: Clients
    environment: dict[str, str]
    jobs: str
    dlq: str
    deliver: Handler = lambda _: None
    between: Callable[[], None] = lambda: None
    """Called after every delivery."""
    dead: list[str] = field(default_factory=list)
    _keys: Iterator[int] = field(default_factory=count)

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self.environment)

    def fresh_key(self) -> str:
        """A key that no other test uses."""
        return f"{next(self._keys)}.png"

    def put(self, key: str, data: bytes) -> str:
        """Upload; returns the version id."""
        return str(self.clients["s3"].put_object(Bucket=self.settings.input_bucket, Key=key, Body=data)["VersionId"])

    def delete(self, key: str, version: str | None = None) -> str:
        """Delete the object, or one version or marker; returns the id of the marker or version."""
        which = {"VersionId": version} if version else {}
        answer = self.clients["s3"].delete_object(Bucket=self.settings.input_bucket, Key=key, **which)
        return str(answer["VersionId"])

    def versions(self, key: str) -> list[str]:
        """Every version and delete marker of a key."""
        answer = self.clients["s3"].list_object_versions(Bucket=self.settings.input_bucket, Prefix=key)
        entries = [*answer.get("Versions", []), *answer.get("DeleteMarkers", [])]
        return [str(one["VersionId"]) for one in entries if one["Key"] == key]

    def send(self, key: str, name: str = "ObjectCreated:Put") -> None:
        """An event that S3 did not send: a duplicate, a reprocessing, a repair."""
        s3 = {"bucket": {"name": self.settings.input_bucket}, "object": {"key": quote_plus(key)}}
        self.clients["sqs"].send_message(
            QueueUrl=self.jobs, MessageBody=json.dumps({"Records": [{"eventName": name, "s3": s3}]})
        )

    def receive(self, wait: int) -> dict[str, Any] | None:
        """The next message of the queue, as Lambda's batch of one; None when there is none."""
        received = self.clients["sqs"].receive_message(
            QueueUrl=self.jobs,
            VisibilityTimeout=600,
            WaitTimeSeconds=wait,
            AttributeNames=["ApproximateReceiveCount"],
        )
        for message in received.get("Messages", []):
            record = {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "eventSource": "aws:sqs",
            }
            return {"Records": [record]}
        return None

    def step(self, *, wait: int = 0) -> bool:
        """Deliver one message, waiting up to `wait` s for it; whether there was one.

        A message that failed is back at once: the time that its visibility timeout takes is what passes in between.
        """
        event = self.receive(wait)
        if event is None:
            return False
        handle = {"QueueUrl": self.jobs, "ReceiptHandle": event["Records"][0]["receiptHandle"]}
        answer = self.deliver(event)
        if answer is not None and not answer["batchItemFailures"]:
            self.clients["sqs"].delete_message(**handle)
        else:
            self.clients["sqs"].change_message_visibility(**handle, VisibilityTimeout=0)
        self.between()
        return True

    def drain(self) -> int:
        """Deliver until the queue is empty, having waited for the first message; returns the number of deliveries."""
        delivered = 0
        while self.step(wait=0 if delivered else 10):
            delivered += 1
            assert delivered < 100, "the queue never runs empty"
        return delivered

    def dead_letters(self, *, keep: bool = False) -> list[str]:
        """The keys that the dead-letter queue's messages are about (or their bodies); taken out unless `keep`."""
        bodies, self.dead = self.dead + self._take_dead(), []
        if keep:
            self.dead = bodies
        return [_about(body) for body in bodies]

    def redrive(self) -> None:
        """Send every dead letter that was kept back to where it came from."""
        for body in self.dead:
            self.clients["sqs"].send_message(QueueUrl=self.jobs, MessageBody=body)
        self.dead = []

    def _take_dead(self) -> list[str]:
        bodies = []
        while (
            messages := self.clients["sqs"].receive_message(QueueUrl=self.dlq, MaxNumberOfMessages=10).get("Messages")
        ):
            for one in messages:
                bodies.append(one["Body"])
                self.clients["sqs"].delete_message(QueueUrl=self.dlq, ReceiptHandle=one["ReceiptHandle"])
        return bodies

    def row(self, key: str) -> ImageRecord | None:
        """The row as it is now."""
        return Catalog(self.clients["dynamodb"], self.settings.table).read(key)

    def served(self, key: str) -> str | None:
        """The version that S3 serves now."""
        found = Storage(self.clients["s3"], self.settings).look(key)
        return found and found.source.version_id

    def outputs(self, key: str) -> set[str]:
        """The keys of all outputs that were made of an image and are there."""
        buckets = (self.settings.resized_bucket, self.settings.thumbnails_bucket)
        listed = [self.clients["s3"].list_objects_v2(Bucket=one, Prefix=f"{key}/") for one in buckets]
        return {one["Key"] for answer in listed for one in answer.get("Contents", [])}

    def orphans(self, key: str) -> set[str]:
        """The outputs of an image that its row does not list."""
        return self.outputs(key) - listed(self.row(key))

    def assert_whole(self, key: str, *, orphans: set[str] | None = None) -> None:
        """The law: one row for what S3 serves, none otherwise; all of its outputs, and no others (but `orphans`)."""
        row, there = self.row(key), self.outputs(key)
        assert (row.source.version_id if row else None) == self.served(key)
        assert listed(row) <= there, "a row lists outputs that are not there"
        assert there - listed(row) == (orphans or set()), "outputs that no row lists"
        if row is not None and row.status is Status.READY:
            assert [one.name for one in row.renditions] == ["1024", "512", "128"]

    def assert_says_why(self, key: str) -> None:
        """While S3 serves an image, its row says what became of it."""
        row = self.row(key)
        if self.served(key) is not None:
            assert row is not None
            assert row.failure is None or row.failure.code in (Refusal.CRASHED, Refusal.FORBIDDEN)


def listed(row: ImageRecord | None) -> set[str]:
    """The keys of the outputs that a row lists."""
    return {one.key for one in row.outputs} if row else set()


def _about(body: str) -> str:
    try:
        return unquote_plus(json.loads(body)["Records"][0]["s3"]["object"]["key"])
    except (ValueError, KeyError):
        return body


@contextmanager
def stack(clients: Clients, max_receives: int = MAX_RECEIVES) -> Iterator[World]:
    """Buckets, table and queues of a stack, wired as the template wires them, but for the function."""
    name = f"faults-{uuid.uuid4().hex[:8]}"
    queues = {one: clients["sqs"].create_queue(QueueName=f"{name}-{one}")["QueueUrl"] for one in ("jobs", "dlq")}
    arns = {
        one: clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for one, url in queues.items()
    }
    policy = json.dumps({"deadLetterTargetArn": arns["dlq"], "maxReceiveCount": str(max_receives)})
    clients["sqs"].set_queue_attributes(QueueUrl=queues["jobs"], Attributes={"RedrivePolicy": policy})
    environment = {
        "IMGPIPE_STACK": name,
        "IMGPIPE_ACCOUNT": "000000000000",
        "IMGPIPE_INPUT_BUCKET": f"{name}-input",
        "IMGPIPE_RESIZED_BUCKET": f"{name}-resized",
        "IMGPIPE_THUMBNAILS_BUCKET": f"{name}-thumbnails",
        "IMGPIPE_TABLE": f"{name}-images",
        "IMGPIPE_QUEUE_URL": queues["jobs"],
        "IMGPIPE_MAX_RECEIVES": str(max_receives),
        "IMGPIPE_BACKOFF": "1",
        "AWS_ENDPOINT_URL": str(clients.connection.endpoint_url),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for bucket in ("INPUT", "RESIZED", "THUMBNAILS"):
        clients["s3"].create_bucket(Bucket=environment[f"IMGPIPE_{bucket}_BUCKET"])
    bucket = environment["IMGPIPE_INPUT_BUCKET"]
    clients["s3"].put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    clients["dynamodb"].create_table(
        TableName=environment["IMGPIPE_TABLE"],
        KeySchema=[{"AttributeName": "image_key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "image_key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    events = {"QueueArn": arns["jobs"], "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
    clients["s3"].put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [events]}
    )
    yield World(clients, environment, queues["jobs"], queues["dlq"])
