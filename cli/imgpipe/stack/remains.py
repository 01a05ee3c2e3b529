"""What is still there under a stage's names, with or without a stack, and removing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from imgpipe.aws import Clients
from imgpipe.stack.names import Identity, Names, identity
from imgpipe.stack.waiting import described, error_code

_MISSING = frozenset(
    {
        *("404", "NotFound", "NotFoundException", "ResourceNotFoundException", "NoSuchBucket"),
        *("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"),
    }
)


def leftovers(clients: Clients, stage: str) -> tuple[str, ...]:
    """What exists under the stage's names, in words, whether or not there is a stack."""
    owner = identity(clients)
    return remains(clients, Names.of(stage, owner.account, clients.connection.region), owner)


def remains(clients: Clients, names: Names, owner: Identity) -> tuple[str, ...]:
    """Ask every service for what the stage's names still mean."""
    found = []
    if stack := described(clients, names.stack):
        found.append(f"stack {names.stack} ({stack.get('StackStatusReason') or stack['StackStatus']})")
    s3, sqs = clients["s3"], clients["sqs"]
    looks: list[tuple[str, Callable[..., Any], dict[str, str]]] = [
        (f"table {names.table}", clients["dynamodb"].describe_table, {"TableName": names.table}),
        (f"function {names.function}", clients["lambda"].get_function, {"FunctionName": names.function}),
        (f"topic {names.topic}", clients["sns"].get_topic_attributes, {"TopicArn": _arn(clients, owner, names.topic)}),
    ]
    for bucket in names.buckets:
        looks.append((f"bucket {bucket}", s3.head_bucket, {"Bucket": bucket, "ExpectedBucketOwner": owner.account}))
    for queue in (names.jobs_queue, names.dead_letter_queue):
        looks.append((f"queue {queue}", sqs.get_queue_url, {"QueueName": queue}))
    for what, look, arguments in looks:
        with unless_missing():
            look(**arguments)
            found.append(what)
    found += [f"event source mapping {uuid}" for uuid in mappings(clients, names, owner)]
    groups = clients["logs"].describe_log_groups(logGroupNamePrefix=names.log_group)["logGroups"]
    found += [f"log group {names.log_group}" for one in groups if one["logGroupName"] == names.log_group]
    return (*found, *(f"alarm {name}" for name in _alarms(clients, names)))


def remove_strays(clients: Clients, names: Names, owner: Identity) -> None:
    """Delete what the stack left behind; its buckets and its table are emptied and deleted before.

    A worker's last lines may make the log group again, and LocalStack forgets resources of a stack whose update
    failed: it would never delete them.
    """
    if described(clients, names.stack):
        return
    functions, sqs = clients["lambda"], clients["sqs"]
    with unless_missing():
        for uuid in mappings(clients, names, owner):
            functions.delete_event_source_mapping(UUID=uuid)
    with unless_missing():
        functions.delete_function(FunctionName=names.function)
    for queue in (names.jobs_queue, names.dead_letter_queue):
        with unless_missing():
            sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"])
    with unless_missing():
        clients["sns"].delete_topic(TopicArn=_arn(clients, owner, names.topic))
    if alarms := _alarms(clients, names):
        clients["cloudwatch"].delete_alarms(AlarmNames=alarms)
    with unless_missing():
        clients["logs"].delete_log_group(logGroupName=names.log_group)


def mappings(clients: Clients, names: Names, owner: Identity) -> list[str]:
    """The event source mappings that take from the jobs queue, those excepted that are going already."""
    queue = _arn(clients, owner, names.jobs_queue, "sqs")
    found = clients["lambda"].list_event_source_mappings(EventSourceArn=queue)["EventSourceMappings"]
    return [one["UUID"] for one in found if one.get("State") != "Deleting"]


def _alarms(clients: Clients, names: Names) -> list[str]:
    found = clients["cloudwatch"].describe_alarms(AlarmNamePrefix=f"{names.stack}-")["MetricAlarms"]
    return [one["AlarmName"] for one in found]


def _arn(clients: Clients, owner: Identity, name: str, service: str = "sns") -> str:
    return f"arn:{owner.partition}:{service}:{clients.connection.region}:{owner.account}:{name}"


@contextmanager
def unless_missing() -> Iterator[None]:
    """Go on after what is inside meets something that is not there."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if error_code(error) not in _MISSING:
            raise
