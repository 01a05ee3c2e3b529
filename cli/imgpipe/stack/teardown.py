"""Counting what a stage holds, and taking the stage down until nothing of it is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from imgpipe.aws import Clients
from imgpipe.stack.artifacts import unused_versions, used_keys
from imgpipe.stack.emptying import delete_versions, remove_bucket
from imgpipe.stack.names import PREFIX, Identity, Names, identity
from imgpipe.stack.waiting import described, error_code, poll, remove_stack, settled
from imgpipe.targets.base import Progress

_MISSING = frozenset(
    {
        *("404", "NotFound", "NotFoundException", "ResourceNotFoundException", "NoSuchBucket"),
        *("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"),
    }
)
_LONGEST_WORK = 65.0  # seconds: the function's timeout, and some
_LONGEST_WORK_OF_AN_EMULATOR = 3.0
_LAST_LOOKS = 5.0
_IN_WORK = "ApproximateNumberOfMessagesNotVisible"
_DEPTHS = ("ApproximateNumberOfMessages", _IN_WORK, "ApproximateNumberOfMessagesDelayed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What would be lost. `objects` are the input images as they are now, `versions` the older ones behind them."""

    objects: int = 0
    versions: int = 0
    delete_markers: int = 0
    outputs: int = 0
    rows: int = 0
    queued: int = 0
    dead_lettered: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to lose."""
        return self == Inventory()


def inventory(clients: Clients, names: Names) -> Inventory:
    """Count everything that `teardown` deletes; what is missing counts as nothing. Queue depths are approximate."""
    account = identity(clients).account
    objects, versions, markers = _versions(clients, names.input_bucket, account)
    made = sum(sum(_versions(clients, one, account)) for one in (names.resized_bucket, names.thumbnails_bucket))
    rows = 0
    with _unless_missing():
        scan = clients["dynamodb"].get_paginator("scan").paginate(TableName=names.table, Select="COUNT")
        rows = sum(page["Count"] for page in scan)
    return Inventory(
        objects=objects,
        versions=versions,
        delete_markers=markers,
        outputs=made,
        rows=rows,
        queued=_messages(clients, names.jobs_queue),
        dead_lettered=_messages(clients, names.dead_letter_queue),
    )


def _versions(clients: Clients, bucket: str, account: str) -> tuple[int, int, int]:
    """Current objects, older versions and delete markers of a bucket."""
    latest = older = markers = 0
    with _unless_missing():
        pages = clients["s3"].get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=bucket, ExpectedBucketOwner=account):
            current = sum(one["IsLatest"] for one in page.get("Versions", ()))
            latest += current
            older += len(page.get("Versions", ())) - current
            markers += len(page.get("DeleteMarkers", ()))
    return latest, older, markers


def _messages(clients: Clients, queue: str) -> int:
    with _unless_missing():
        return sum(_depths(clients, clients["sqs"].get_queue_url(QueueName=queue)["QueueUrl"]).values())
    return 0


def teardown(clients: Clients, stage: str, progress: Progress) -> tuple[str, ...]:
    """Delete the stage and everything in it; what is left, in words, empty when nothing is.

    Goes by names, so it also finishes what was half done. Code that no other stage runs goes with it.
    """
    owner = identity(clients)
    account = owner.account
    names = Names.of(stage, account, clients.connection.region)
    settled(clients, names.stack, progress)
    _stop_the_flow(clients, names, account, progress)
    # The data first: a stack that is deleted keeps its buckets and its table.
    for bucket in names.buckets:
        progress(f"Emptying {bucket}")
        remove_bucket(clients["s3"], bucket, account, _counting(bucket, progress))
    progress(f"Deleting the table {names.table}")
    _remove_table(clients["dynamodb"], names.table)
    if stack := described(clients, names.stack):
        progress(f"Deleting the stack {names.stack}")
        remove_stack(clients, stack["StackId"], progress)
    _remove_artifacts(clients, names, account, progress)
    progress("Looking for anything left")
    left: tuple[str, ...] = ()

    def clean() -> bool | None:
        nonlocal left
        left = _remains(clients, names, owner)
        if left:  # a worker's last lines may make the log group again after the stack deleted it
            _remove_log_group(clients["logs"], names.log_group)
        return None if left else True

    poll(clean, _LAST_LOOKS)
    return left


def leftovers(clients: Clients, stage: str) -> tuple[str, ...]:
    """What exists under the stage's names, in words, whether or not there is a stack."""
    owner = identity(clients)
    return _remains(clients, Names.of(stage, owner.account, clients.connection.region), owner)


def _stop_the_flow(clients: Clients, names: Names, account: str, progress: Progress) -> None:
    """No new events, no new work, and the work that has begun given the time that a worker may take."""
    progress("Stopping the flow of images")
    with _unless_missing():
        clients["s3"].put_bucket_notification_configuration(
            Bucket=names.input_bucket, NotificationConfiguration={}, ExpectedBucketOwner=account
        )
    functions = clients["lambda"]
    with _unless_missing():
        mappings = functions.list_event_source_mappings(FunctionName=names.function)["EventSourceMappings"]
        for mapping in mappings:
            _disable(functions, mapping["UUID"])
    with _unless_missing():
        url = clients["sqs"].get_queue_url(QueueName=names.jobs_queue)["QueueUrl"]

        said = 0

        def idle() -> bool | None:
            nonlocal said
            busy = _depths(clients, url).get(_IN_WORK, 0)
            if busy and busy != said:
                progress(f"Waiting for {busy} image{'s' * (busy != 1)} in work")
            said = busy
            return None if busy else True

        # A message that backs off, or whose worker was killed, counts as in work as well: this wait has an end.
        poll(idle, _LONGEST_WORK if clients.connection.endpoint_url is None else _LONGEST_WORK_OF_AN_EMULATOR)


def _disable(functions: Any, uuid: str) -> None:
    from botocore.exceptions import ClientError

    def ask() -> bool | None:
        try:
            functions.update_event_source_mapping(UUID=uuid, Enabled=False)
        except ClientError as error:
            if error_code(error) == "ResourceInUseException":  # it is being changed by someone else
                return None
            raise
        return True

    def disabled() -> bool | None:
        return True if functions.get_event_source_mapping(UUID=uuid)["State"] == "Disabled" else None

    poll(ask, 120)
    poll(disabled, 120)


def _counting(bucket: str, progress: Progress) -> Callable[[int], None]:
    return lambda gone: progress(f"Emptying {bucket}: {gone:,} gone")


def _remove_table(dynamodb: Any, table: str) -> None:
    from botocore.exceptions import ClientError

    def gone() -> bool | None:
        try:
            state = dynamodb.describe_table(TableName=table)["Table"]["TableStatus"]
            if state != "DELETING":
                dynamodb.delete_table(TableName=table)
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                return True
            if error_code(error) != "ResourceInUseException":  # still being made or changed
                raise
        return None

    poll(gone, 300)


def _remove_artifacts(clients: Clients, names: Names, account: str, progress: Progress) -> None:
    with _unless_missing():
        used = used_keys(clients, PREFIX, but=names.stack)
        unused, kept = unused_versions(clients, names.artifact_bucket, account, used)
        progress("Deleting the function's code")
        delete_versions(clients["s3"], names.artifact_bucket, account, unused)
        if not kept:
            remove_bucket(clients["s3"], names.artifact_bucket, account, lambda _: None)


def _remains(clients: Clients, names: Names, owner: Identity) -> tuple[str, ...]:
    """Ask every service for what the stage's names still mean."""
    found = []
    if stack := described(clients, names.stack):
        found.append(f"stack {names.stack} ({stack.get('StackStatusReason') or stack['StackStatus']})")
    topic = f"arn:{owner.partition}:sns:{clients.connection.region}:{owner.account}:{names.topic}"
    s3, sqs = clients["s3"], clients["sqs"]
    looks: list[tuple[str, Callable[..., Any], dict[str, str]]] = [
        (f"table {names.table}", clients["dynamodb"].describe_table, {"TableName": names.table}),
        (f"function {names.function}", clients["lambda"].get_function, {"FunctionName": names.function}),
        (f"topic {names.topic}", clients["sns"].get_topic_attributes, {"TopicArn": topic}),
    ]
    for bucket in names.buckets:
        looks.append((f"bucket {bucket}", s3.head_bucket, {"Bucket": bucket, "ExpectedBucketOwner": owner.account}))
    for queue in (names.jobs_queue, names.dead_letter_queue):
        looks.append((f"queue {queue}", sqs.get_queue_url, {"QueueName": queue}))
    for what, look, arguments in looks:
        with _unless_missing():
            look(**arguments)
            found.append(what)
    groups = clients["logs"].describe_log_groups(logGroupNamePrefix=names.log_group)["logGroups"]
    found += [f"log group {names.log_group}" for one in groups if one["logGroupName"] == names.log_group]
    alarms = clients["cloudwatch"].describe_alarms(AlarmNamePrefix=f"{names.stack}-")["MetricAlarms"]
    return (*found, *(f"alarm {one['AlarmName']}" for one in alarms))


def _remove_log_group(logs: Any, name: str) -> None:
    with _unless_missing():
        logs.delete_log_group(logGroupName=name)


def _depths(clients: Clients, url: str) -> dict[str, int]:
    with _unless_missing():
        answer = clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=list(_DEPTHS))
        return {name: int(value) for name, value in answer["Attributes"].items()}
    return {}


@contextmanager
def _unless_missing() -> Iterator[None]:
    """Go on after what is inside meets something that is not there."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if error_code(error) not in _MISSING:
            raise
