"""The books of a soaked pipeline, by plain AWS calls: what was sent against what S3, the table and the queues hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from imgpipe.aws import Clients
from imgpipe.stack.names import StackOutputs

LAST_WORDS = 20.0
"""Seconds before a kill of the engine from which it may have forgotten what it had acknowledged."""


@dataclass
class Sent:
    """What was done to a key: how each version has to end, and which one is served.

    `times` are those since the version was put, `last` is what was done last, `sure` says that it was acknowledged.
    """

    ends: dict[str, str] = field(default_factory=dict)
    puts: dict[str, float] = field(default_factory=dict)
    version: str | None = None
    marker: str | None = None
    last: str = ""
    times: list[float] = field(default_factory=list)
    sure: bool = True
    remade: bool = False

    @property
    def served(self) -> str | None:
        return None if self.marker else self.version


@dataclass
class Books:
    """Every list names what is wrong, and is empty where nothing is. `forgotten` is the killed engine's own doing."""

    objects: int = 0
    rows: int = 0
    outputs: int = 0
    lost: list[str] = field(default_factory=list)
    without_row: list[str] = field(default_factory=list)
    without_object: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)

    @property
    def balance(self) -> bool:
        wrong = (self.lost, self.without_row, self.without_object, self.stale, self.wrong, self.missing)
        return not any((*wrong, self.orphans, self.dead))


def audit(
    clients: Clients, names: StackOutputs, sent: Mapping[str, Sent], poison: Mapping[str, float], kills: Sequence[float]
) -> Books:
    """Hold what is there against what was sent; `poison` and `kills` say when (seconds since the epoch)."""

    def doubtful(at: float) -> bool:
        return any(at - 1 <= kill and kill - LAST_WORDS <= at for kill in kills)

    books = Books()
    served = _served(clients, names.input_bucket)
    rows = _rows(clients, names.table)
    outputs = {uri for bucket in (names.resized_bucket, names.thumbnails_bucket) for uri in _objects(clients, bucket)}
    books.objects, books.rows, books.outputs = len(served), len(rows), len(outputs)
    for key, one in sent.items():
        if served.get(key) != one.served and one.sure:
            (books.forgotten if any(map(doubtful, one.times)) else books.lost).append(f"{key}: {one.last}")
    books.without_row = sorted(served.keys() - rows.keys())
    books.without_object = sorted(rows.keys() - served.keys())
    listed: set[str] = set()
    for key, row in rows.items():
        mine = [one["uri"] for one in (*row["renditions"], *filter(None, [row.get("thumbnail")]))]
        listed.update(mine)
        version, end = row["source"].get("version_id"), row["failure"]["code"] if row.get("failure") else row["status"]
        if key in served and version != served[key]:
            books.stale.append(key)
        if end != sent[key].ends.get(version, end):
            books.wrong.append(f"{key}: {end} instead of {sent[key].ends[version]}")
        books.missing += [uri for uri in mine if uri not in outputs]
        if row["status"] == "READY" and not row["renditions"]:
            books.missing.append(f"{key}: no renditions")
        if row["status"] == "READY" and version in sent[key].puts and not sent[key].remade:
            put = sent[key].puts[version]
            books.waits.append((put, datetime.fromisoformat(row["processed_at"]).timestamp() - put))
    books.orphans = sorted(outputs - listed)
    letters = _letters(clients, names.dead_letter_queue_url)
    books.dead = [f"unexpected: {body[:200]}" for body in letters if body not in poison]
    books.dead += [f"gone: {body}" for body, at in poison.items() if body not in letters and not doubtful(at)]
    return books


def _served(clients: Clients, bucket: str) -> dict[str, str]:
    """The version that S3 serves under each key, folder markers aside."""
    pages = clients["s3"].get_paginator("list_object_versions").paginate(Bucket=bucket)
    return {one["Key"]: one["VersionId"] for page in pages for one in page.get("Versions", ()) if one["IsLatest"]}


def _objects(clients: Clients, bucket: str) -> set[str]:
    pages = clients["s3"].get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {f"s3://{bucket}/{one['Key']}" for page in pages for one in page.get("Contents", ())}


def _rows(clients: Clients, table: str) -> dict[str, dict[str, Any]]:
    read = TypeDeserializer().deserialize
    pages = clients["dynamodb"].get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    plain = [{name: read(value) for name, value in item.items()} for page in pages for item in page["Items"]]
    return {item["image_key"]: item for item in plain}


def _letters(clients: Clients, queue: str) -> list[str]:
    found: list[str] = []
    while True:
        asked = {"QueueUrl": queue, "MaxNumberOfMessages": 10, "VisibilityTimeout": 120}
        messages = clients["sqs"].receive_message(**asked).get("Messages", ())
        if not messages:
            return found
        found += [one["Body"] for one in messages]
