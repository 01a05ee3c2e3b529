"""Every key that S3 allows is stored, listed, announced, kept over a restart and removed as it is."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest

from imgpipe.aws import Clients
from imgpipe.engine.folder import StageFolder
from imgpipe.targets.local import LocalTarget

BUCKET = "any-key"
KEYS = [
    *("plain.jpg", "with space", " lead", "trail ", "pl+us", "per%20cent", "%2e%2e/x", "a%00b", "amp&=?#;", "~*()'!\""),
    *("caf\u00e9", "cafe\u0301", "\U0001f600", "Case", "case", "<xml>&amp;</Key>", "back\\slash"),
    *("/lead", "//", ".", "..", "../x", "../../etc/passwd", "x/../y", "./dot", "a", "a/b", "a/b/c", "a//b", "a/"),
    *("new\nline", "cr\r\nlf", "tab\t", "\x01\x1f\x7f", "x.meta.json", "x.tmp", ".ministack-keys/x", "health"),
    *("k" * 1024, "\u00e9" * 512, ("d" * 300 + "/") * 3 + "z", "/".join(["deep"] * 200)),
]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalTarget, StageFolder]]:
    """An engine whose versioned bucket holds an object with each key, and whose queue holds the events."""
    home: Path = tmp_path_factory.mktemp("keys")
    target = LocalTarget("keys", home, None, "us-east-1")
    try:
        clients = Clients(target.start(lambda _: None))
        clients["sqs"].create_queue(QueueName="events")
        s3 = clients["s3"]
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        to_queue = {
            "QueueArn": "arn:aws:sqs:us-east-1:000000000000:events",
            "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
        }
        notification = {"QueueConfigurations": [to_queue]}
        s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=notification)
        for number, key in enumerate(KEYS):
            s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode(), Metadata={"number": str(number)})
        yield target, StageFolder(home / "keys")
    finally:
        target.destroy()


def _keys_of(event: str, clients: Clients, until: Callable[..., Any]) -> set[str]:
    """The keys that events of this name came for, once there is one for every key; events may come twice."""
    sqs, found = clients["sqs"], set()
    url = sqs.get_queue_url(QueueName="events")["QueueUrl"]

    def enough() -> bool:
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            for record in json.loads(message["Body"]).get("Records", []):
                if record["eventName"] == event:
                    found.add(unquote_plus(record["s3"]["object"]["key"]))
        return len(found) >= len(KEYS)

    until(enough)
    return found


def _holds_every_key(clients: Clients) -> None:
    s3 = clients["s3"]
    for number, key in enumerate(KEYS):
        answer = s3.get_object(Bucket=BUCKET, Key=key)
        assert (answer["Body"].read(), answer["Metadata"]) == (key.encode(), {"number": str(number)}), ascii(key)
        assert s3.head_object(Bucket=BUCKET, Key=key)["VersionId"] == answer["VersionId"]
    for listing, entries in (("list_objects_v2", "Contents"), ("list_object_versions", "Versions")):
        pages = s3.get_paginator(listing).paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 7})
        assert sorted(one["Key"] for page in pages for one in page.get(entries, [])) == sorted(KEYS)


def test_every_key_lives_and_dies_as_it_is(stored: tuple[LocalTarget, StageFolder], until: Callable[..., Any]) -> None:
    target, folder = stored
    clients = Clients(target.connect())
    assert _keys_of("ObjectCreated:Put", clients, until) == set(KEYS)
    _holds_every_key(clients)
    until(lambda: BUCKET in folder.saved.read_text())

    os.kill(folder.running().pid, signal.SIGKILL)  # type: ignore[union-attr]
    until(lambda: not folder.is_held())
    clients = Clients(target.start(lambda _: None))
    _holds_every_key(clients)
    outside = [path for path in folder.root.parent.rglob("*") if path.name == "passwd"]
    assert outside == []

    s3 = clients["s3"]
    for key in KEYS:
        s3.delete_object(Bucket=BUCKET, Key=key)
    assert _keys_of("ObjectRemoved:DeleteMarkerCreated", clients, until) == set(KEYS)
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET):
        for version in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
            s3.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=BUCKET)
    assert [path for path in folder.objects.rglob("*") if path.is_file()] == []
