"""What the tests of the engine share: engines of their own, conditions to wait for, and a small flow to run."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imgpipe.aws import Clients
from imgpipe.engine import supervisor
from imgpipe.targets.local import LocalTarget

Until = Callable[..., Any]

HANDLER = """
import json, os, sys, time
import boto3

def handler(event, context):
    sqs, failed = boto3.client("sqs"), []
    for record in event["Records"]:
        order = json.loads(record["body"])
        receives = int(record["attributes"]["ApproximateReceiveCount"])
        seen = {"order": order, "receives": receives, "pid": os.getpid(), "endpoint": os.environ["AWS_ENDPOINT_URL"]}
        sqs.send_message(QueueUrl=os.environ["SEEN"], MessageBody=json.dumps(seen))
        do = order["do"] if receives <= order.get("times", 1) else "work"
        if do == "retry":
            sqs.change_message_visibility(
                QueueUrl=os.environ["JOBS"], ReceiptHandle=record["receiptHandle"], VisibilityTimeout=0)
            failed.append({"itemIdentifier": record["messageId"]})
        elif do == "sleep":
            time.sleep(order["seconds"])
        elif do == "die":
            os._exit(3)
    return {"batchItemFailures": failed}
"""


def _queue(name: str, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name, **properties}}


def _template(name: str, visibility: int, timeout: int, receives: int, batch: int) -> dict[str, Any]:
    function = {
        "FunctionName": name,
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Role": "arn:aws:iam::000000000000:role/test",
        "Timeout": timeout,
        "Code": {"ZipFile": HANDLER},
        "Environment": {"Variables": {"SEEN": {"Ref": "Seen"}, "JOBS": {"Ref": "Jobs"}}},
    }
    mapping = {
        "EventSourceArn": {"Fn::GetAtt": ["Jobs", "Arn"]},
        "FunctionName": {"Ref": "Function"},
        "BatchSize": batch,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": {"Ref": "Concurrency"}},
    }
    redrive = {"deadLetterTargetArn": {"Fn::GetAtt": ["Dead", "Arn"]}, "maxReceiveCount": receives}
    return {
        "Parameters": {"Concurrency": {"Type": "Number", "Default": 2}},
        "Resources": {
            "Seen": _queue(f"{name}-seen"),
            "Dead": _queue(f"{name}-dead"),
            "Jobs": _queue(f"{name}-jobs", VisibilityTimeout=visibility, RedrivePolicy=redrive),
            "Function": {"Type": "AWS::Lambda::Function", "Properties": function},
            "Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": mapping},
        },
    }


@dataclass
class Flow:
    """A queue, a function that does what its messages order, and a queue of what it saw."""

    clients: Clients
    name: str
    until: Until

    def url(self, queue: str) -> str:
        return str(self.clients["sqs"].get_queue_url(QueueName=f"{self.name}-{queue}")["QueueUrl"])

    def order(self, **order: Any) -> None:
        self.clients["sqs"].send_message(QueueUrl=self.url("jobs"), MessageBody=json.dumps(order))

    def take(self, queue: str, count: int, seconds: float = 60) -> list[dict[str, Any]]:
        """The next `count` messages of a queue, decoded."""
        taken: list[dict[str, Any]] = []

        def enough() -> bool:
            sqs, url = self.clients["sqs"], self.url(queue)
            for one in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
                sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
                taken.append(json.loads(one["Body"]))
            return len(taken) >= count

        self.until(enough, seconds)
        return taken

    def waiting(self, queue: str) -> int:
        """How many messages a queue holds, in flight or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        reply = self.clients["sqs"].get_queue_attributes(QueueUrl=self.url(queue), AttributeNames=names)
        return sum(int(reply["Attributes"][name]) for name in names)


@pytest.fixture(scope="session")
def until() -> Until:
    """Ask again until the answer is true, and return it; fail with the last answer when time is up."""

    def wait(answer: Callable[[], Any], seconds: float = 60) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := answer()):
            assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
            time.sleep(0.02)
        return found

    return wait


_names = (f"flow{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def make_flow(until: Until) -> Callable[..., Flow]:
    """Deploy a flow through CloudFormation, its concurrency as a parameter, the way the pipeline's stack is."""

    def make(clients: Clients, *, visibility: int = 30, timeout: int = 20, receives: int = 5, batch: int = 1) -> Flow:
        name, stacks = next(_names), clients["cloudformation"]
        template = json.dumps(_template(name, visibility, timeout, receives, batch))
        concurrency = [{"ParameterKey": "Concurrency", "ParameterValue": "2"}]
        stacks.create_stack(StackName=name, TemplateBody=template, Parameters=concurrency)
        stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.1})
        return Flow(clients, name, until)

    return make


@pytest.fixture(scope="session", autouse=True)
def _leave_the_default_port_alone() -> Iterator[None]:
    """The developer's own engine may want 4580."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "DEFAULT_PORT", 0)
        yield


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the engines of one test keep their state."""
    return tmp_path / "home"


@pytest.fixture
def local(home: Path) -> Iterator[LocalTarget]:
    """The target of a stage of its own, not started, with nothing left of it after the test."""
    target = LocalTarget("alone", home, None, "us-east-1")
    try:
        yield target
    finally:
        target.destroy()
