"""A stack where IAM is enforced, the grants of its role, and the lives of images under a role that lacks one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
from botocore.config import Config
from PIL import Image
from security import policies
from security.enforcing import REGION, Enforcing

from image_pipeline.catalog import Catalog
from image_pipeline.record import ImageRecord
from imgpipe.aws import Clients
from imgpipe.stack.names import StackOutputs

STAGE = "priv"
ROLE_POLICY = "process-images"
FOREIGN = "foreign"
"""A bucket and a table that are not the stack's."""

CONTEXT = SimpleNamespace(aws_request_id="req-1", get_remaining_time_in_millis=lambda: 42_000)
Grant = tuple[str, str]
"""An action, and the last part of the name of what it is granted on."""


def picture(shade: int) -> bytes:
    """A small PNG that is long enough for a thumbnail."""
    out = BytesIO()
    Image.new("L", (1030, 8), shade).save(out, "PNG")
    return out.getvalue()


@dataclass
class Place:
    """The stack where IAM is enforced. `root` may do everything; `shipped` is the policy that the template made."""

    emulator: Enforcing
    root: Clients
    stack: StackOutputs
    role: str
    role_arn: str
    shipped: dict[str, Any]
    _names: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    @property
    def queue(self) -> str:
        return self.stack.jobs_queue_url

    def fresh(self) -> str:
        """A name that nothing has yet."""
        return f"n{next(self._names)}"

    def allow(self, document: dict[str, Any]) -> None:
        """Make `document` all that the role allows, from the next call on."""
        self.root["iam"].put_role_policy(
            RoleName=self.role, PolicyName=ROLE_POLICY, PolicyDocument=json.dumps(document)
        )

    def client(self, service: str, keys: dict[str, str], **more: Any) -> Any:
        """A client with somebody's keys; over TLS unless `endpoint_url` says otherwise. It asks once."""
        more = {"endpoint_url": self.emulator.tls, "verify": self.emulator.certificate, **more}
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        return boto3.client(service, region_name=REGION, config=config, **more, **keys)

    def receipt(self) -> str:
        """The receipt of a message that is in the queue."""
        self.root["sqs"].send_message(QueueUrl=self.queue, MessageBody="x")
        [message] = self.root["sqs"].receive_message(QueueUrl=self.queue, WaitTimeSeconds=5)["Messages"]
        return str(message["ReceiptHandle"])

    def row(self, key: str) -> ImageRecord | None:
        return Catalog(self.root["dynamodb"], self.stack.table).read(key)

    def outputs(self, key: str) -> set[tuple[str, str]]:
        """Every (bucket, key) that was made for a key."""
        found = set()
        for bucket in (self.stack.resized_bucket, self.stack.thumbnails_bucket):
            answer = self.root["s3"].list_objects_v2(Bucket=bucket, Prefix=f"{key}/")
            found |= {(bucket, one["Key"]) for one in answer.get("Contents", [])}
        return found

    def drain(self) -> None:
        """Empty the queue."""
        self.root["sqs"].purge_queue(QueueUrl=self.queue)


class Trusting(Clients):
    """Clients that believe the emulator's certificate."""

    certificate = ""

    def _make(self, service: str) -> Any:
        here = self.connection
        return boto3.client(
            service,
            region_name=here.region,
            endpoint_url=here.endpoint_url,
            verify=self.certificate,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


def switch(root: Clients, stack: StackOutputs, *, on: bool) -> None:
    """Let the emulator deliver the queue's messages, or not."""
    root["lambda"].update_event_source_mapping(UUID=stack.event_source_mapping, Enabled=on)


class Lives:
    """Images that are uploaded, overwritten and deleted, the handler told of each step, and the calls that it made."""

    def __init__(self, place: Place, module: ModuleType) -> None:
        self.place, self.module = place, module
        self.key = f"{place.fresh()}.png"
        self.calls: list[tuple[str, str, int]] = []
        """Operation, path of the request, status of the answer."""
        self._log = StringIO()
        module.logger.registered_handler.setStream(self._log)

    def note(self, http_response: Any, model: Any, **_: Any) -> None:
        self.calls.append((model.name, unquote(urlsplit(http_response.url).path), http_response.status_code))

    def step(self, name: str) -> bool:
        """One step of the image's life, and what the handler makes of its event; whether that was acknowledged."""
        s3, bucket = self.place.root["s3"], self.place.stack.input_bucket
        if name == "delete":
            s3.delete_object(Bucket=bucket, Key=self.key)
        else:
            s3.put_object(Bucket=bucket, Key=self.key, Body=picture(60 if name == "upload" else 180))
        return self.deliver()

    def deliver(self) -> bool:
        """Hand over the event that S3 sent, as if for the second time; whether it was acknowledged."""
        sqs, queue = self.place.root["sqs"], self.place.queue
        [message] = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": {"ApproximateReceiveCount": "2"},  # only then is the visibility timeout set first
            "eventSource": "aws:sqs",
        }
        self.calls.clear()
        self._log.seek(0)
        self._log.truncate()
        failed = self.module.handler({"Records": [record]}, CONTEXT)["batchItemFailures"]
        sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=0)
        if not failed:
            self.place.drain()
        return not failed

    @property
    def refused(self) -> list[tuple[str, str]]:
        """Operation and path of every call that was refused."""
        return [(name, path) for name, path, status in self.calls if status in (400, 403)]

    @property
    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.getvalue().splitlines()]


def grants(document: dict[str, Any]) -> dict[Grant, dict[str, Any]]:
    """A statement of its own for every action on every resource."""
    found = {}
    for statement in policies.statements("", document):
        for action in statement.actions:
            for resource in statement.resources:
                name = resource.removesuffix("/*").replace("-000000000000-us-east-1", "")
                name = name.rsplit("imgpipe-priv-", 1)[1]
                found[action, name] = {"Effect": statement.effect, "Action": action, "Resource": resource}
    return found


def without(document: dict[str, Any], grant: Grant) -> dict[str, Any]:
    """The same policy, but for one action on one resource."""
    left = grants(document)
    del left[grant]
    return {"Version": "2012-10-17", "Statement": list(left.values())}
