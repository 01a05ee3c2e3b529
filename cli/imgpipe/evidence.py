"""Gathers what S3, the table, the queues and the log know of one image, taking nothing out of a queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from image_pipeline.record import ImageRecord
from imgpipe import catalog, deadletters, images, logs
from imgpipe.aws import Clients
from imgpipe.queues import depths
from imgpipe.stack.names import StackOutputs
from imgpipe.why import Facts, Version

_VERSIONS = 10  # of a key that is overwritten all day, the newest tell its story
_LETTERS = 1000  # dead letters that are looked at for those about one key
_AROUND = timedelta(minutes=15)


def gather(clients: Clients, names: StackOutputs, key: str, now: datetime, since: datetime) -> Facts:
    """What is known of `key`; of the log, what was written since `since`, or around the time its record was made.

    The record is read last: what an event does while the others are read then shows there, and is not taken for lost.
    """
    served = images.serves(clients, names.input_bucket, key)
    versions = tuple(_versions(clients, names.input_bucket, key))
    jobs = depths(clients, names.jobs_queue_url)
    letters, all_letters = deadletters.about(clients, names, key, _LETTERS)
    record = catalog.row(clients, names.table, key)
    return Facts(
        key=key,
        now=now,
        record=record,
        served=_served(served) if served else None,
        versions=versions,
        lines=tuple(_lines(clients, names, key, record, versions, since)),
        letters=tuple(letters),
        all_letters=all_letters,
        waiting=jobs.waiting,
        in_flight=jobs.in_flight,
    )


def _served(head: Mapping[str, Any]) -> Version:
    return Version(at=head["LastModified"], version_id=head["VersionId"], bytes=head["ContentLength"])


def _versions(clients: Clients, bucket: str, key: str) -> Iterator[Version]:
    """The newest versions and delete markers of exactly this key, newest first."""
    answer = clients["s3"].list_object_versions(Bucket=bucket, Prefix=key, MaxKeys=_VERSIONS)
    found = [*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())]
    ours = [one for one in found if one["Key"] == key]
    # Of one second, which is all that S3 tells, what is the latest came last.
    for one in sorted(ours, key=lambda one: (one["LastModified"], one["IsLatest"]), reverse=True):
        yield Version(at=one["LastModified"], version_id=one["VersionId"], bytes=one.get("Size"))


def _lines(
    clients: Clients,
    names: StackOutputs,
    key: str,
    record: ImageRecord | None,
    versions: tuple[Version, ...],
    since: datetime,
) -> Iterator[logs.Line]:
    """The image's lines, from its arrival on; of one that was decided before `since`, those around its decision."""
    begin, end = since, None
    decided = datetime.fromisoformat(record.processed_at) if record else None
    newest = max((one.at for one in versions), default=None)
    if decided and decided < since and (newest is None or newest < since):
        begin, end = decided - _AROUND, decided + _AROUND
    elif versions and versions[-1].at > since:
        begin = versions[-1].at - timedelta(minutes=1)
    fetch = logs.fetcher(clients, names.log_group)
    for line in logs.Selection(key=key).of(logs.read(fetch, int(begin.timestamp() * 1000))):
        if end is not None and line.when > end:
            return
        yield line
