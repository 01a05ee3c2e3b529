"""Counting what a stage holds, and taking the stage down until nothing of it is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imgpipe.aws import Clients
from imgpipe.queues import depths
from imgpipe.stack.artifacts import unused_versions, used_keys
from imgpipe.stack.emptying import delete_versions, remove_bucket
from imgpipe.stack.names import PREFIX, Identity, Names, identity
from imgpipe.stack.remains import mappings, remains, remove_strays, unless_missing
from imgpipe.stack.waiting import described, error_code, poll, remove_stack, settled
from imgpipe.targets.base import Progress
from imgpipe.words import counted

_LONGEST_WORK = 65.0  # seconds: the function's timeout, and some
_LONGEST_WORK_OF_AN_EMULATOR = 3.0
_LAST_LOOKS = 5.0


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
    with unless_missing():
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


def other_stacks(clients: Clients, but: str) -> tuple[str, ...]:
    """The names of all other stacks that there are, of whatever kind."""
    pages = clients["cloudformation"].get_paginator("describe_stacks").paginate()
    found = (stack for page in pages for stack in page["Stacks"])
    return tuple(sorted(one["StackName"] for one in found if one["StackName"] != but and _stands(one["StackStatus"])))


def _stands(status: str) -> bool:
    return status not in ("DELETE_COMPLETE", "REVIEW_IN_PROGRESS")


def _versions(clients: Clients, bucket: str, account: str) -> tuple[int, int, int]:
    """Current objects, older versions and delete markers of a bucket."""
    latest = older = markers = 0
    with unless_missing():
        pages = clients["s3"].get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=bucket, ExpectedBucketOwner=account):
            current = sum(one["IsLatest"] for one in page.get("Versions", ()))
            latest += current
            older += len(page.get("Versions", ())) - current
            markers += len(page.get("DeleteMarkers", ()))
    return latest, older, markers


def _messages(clients: Clients, queue: str) -> int:
    with unless_missing():
        return depths(clients, clients["sqs"].get_queue_url(QueueName=queue)["QueueUrl"]).total
    return 0


def teardown(clients: Clients, stage: str, progress: Progress) -> tuple[str, ...]:
    """Delete the stage and everything in it; what is left, in words, empty when nothing is.

    Goes by names, so it also finishes what was half done. Code that no other stage runs goes with it.
    """
    owner = identity(clients)
    account = owner.account
    names = Names.of(stage, account, clients.connection.region)
    settled(clients, names.stack, progress)
    _stop_the_flow(clients, names, owner, progress)
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
        left = remains(clients, names, owner)
        if left:
            remove_strays(clients, names, owner)
        return None if left else True

    poll(clean, _LAST_LOOKS)
    return left


def _stop_the_flow(clients: Clients, names: Names, owner: Identity, progress: Progress) -> None:
    """No new events, no new work, and the work that has begun given the time that a worker may take."""
    progress("Stopping the flow of images")
    with unless_missing():
        clients["s3"].put_bucket_notification_configuration(
            Bucket=names.input_bucket, NotificationConfiguration={}, ExpectedBucketOwner=owner.account
        )
    # LocalStack never forgets a mapping that is disabled when it is deleted, and refuses to make another like it.
    enabled = clients.connection.target == "localstack"
    with unless_missing():
        for uuid in mappings(clients, names, owner):
            _switch(clients["lambda"], uuid, enabled)
    with unless_missing():
        url = clients["sqs"].get_queue_url(QueueName=names.jobs_queue)["QueueUrl"]
        if enabled:
            clients["sqs"].purge_queue(QueueUrl=url)
        said = 0

        def idle() -> bool | None:
            nonlocal said
            busy = depths(clients, url).in_flight
            if busy and busy != said:
                progress(f"Waiting for {counted(busy, 'image')} in work")
            said = busy
            return None if busy else True

        # A message that backs off, or whose worker was killed, counts as in work as well: this wait has an end.
        poll(idle, _LONGEST_WORK if clients.connection.endpoint_url is None else _LONGEST_WORK_OF_AN_EMULATOR)


def _switch(functions: Any, uuid: str, enabled: bool) -> None:
    from botocore.exceptions import ClientError

    wanted = "Enabled" if enabled else "Disabled"

    def state() -> str:
        return str(functions.get_event_source_mapping(UUID=uuid)["State"])

    def ask() -> bool | None:
        try:
            functions.update_event_source_mapping(UUID=uuid, Enabled=enabled)
        except ClientError as error:
            if error_code(error) == "ResourceInUseException":  # it is being changed by someone else
                return None
            raise
        return True

    if state() != wanted:
        poll(ask, 120)
        poll(lambda: state() == wanted or None, 120)


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
    with unless_missing():
        used = used_keys(clients, PREFIX, but=names.stack)
        unused, kept = unused_versions(clients, names.artifact_bucket, account, used)
        progress("Deleting the function's code")
        delete_versions(clients["s3"], names.artifact_bucket, account, unused)
        if not kept:
            remove_bucket(clients["s3"], names.artifact_bucket, account, lambda _: None)
