"""The buckets and the table that the function's own code works on, bare, on the real engine."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest

from image_pipeline.catalog import Catalog
from image_pipeline.process import Worker
from image_pipeline.record import ImageRecord, Output
from image_pipeline.settings import Settings, recipe_from_environment
from image_pipeline.storage import Storage
from imgpipe.aws import Clients


@dataclass
class Bench:
    """Two output buckets, a versioned input bucket, a table, and what a test wants to know about them."""

    clients: Clients
    settings: Settings
    _names: Any = field(default_factory=lambda: iter(range(1_000_000)))

    def worker(self, s3: Any = None, dynamodb: Any = None) -> Worker:
        """The function's worker, on clients of the test's choice."""
        return Worker(
            settings=self.settings,
            storage=Storage(s3 or self.clients["s3"], self.settings),
            catalog=Catalog(dynamodb or self.clients["dynamodb"], self.settings.table),
            request_id="test",
        )

    def fresh_key(self) -> str:
        """A key that no other test uses."""
        return f"{next(self._names)}.png"

    def put(self, key: str, data: bytes, **more: Any) -> str:
        """Upload; returns the version id."""
        answer = self.clients["s3"].put_object(Bucket=self.settings.input_bucket, Key=key, Body=data, **more)
        return str(answer["VersionId"])

    def delete(self, key: str, version: str | None = None) -> str:
        """Delete the object or one of its versions; returns the version id of the marker or version."""
        which = {"VersionId": version} if version else {}
        answer = self.clients["s3"].delete_object(Bucket=self.settings.input_bucket, Key=key, **which)
        return str(answer.get("VersionId"))

    def versions(self, key: str) -> list[str]:
        """Every version and delete marker of a key, the newest first."""
        answer = self.clients["s3"].list_object_versions(Bucket=self.settings.input_bucket, Prefix=key)
        entries = [one for one in [*answer.get("Versions", []), *answer.get("DeleteMarkers", [])] if one["Key"] == key]
        return [str(one["VersionId"]) for one in sorted(entries, key=lambda one: not one["IsLatest"])]

    def row(self, key: str) -> ImageRecord | None:
        """The row as it is now."""
        return Catalog(self.clients["dynamodb"], self.settings.table).read(key)

    def served(self, key: str) -> str | None:
        """The version that S3 serves now."""
        found = Storage(self.clients["s3"], self.settings).look(key)
        return found and found.source.version_id

    def outputs(self, key: str) -> set[tuple[str, str]]:
        """Every (bucket, key) in the output buckets that was made for a key."""
        found = set()
        for bucket in (self.settings.resized_bucket, self.settings.thumbnails_bucket):
            answer = self.clients["s3"].list_objects_v2(Bucket=bucket, Prefix=f"{key}/")
            found |= {(bucket, one["Key"]) for one in answer.get("Contents", [])}
        return found

    def is_conserved(self, key: str) -> bool:
        """The law: the row says what S3 serves, its outputs exist, and no others do."""
        row = self.row(key)
        listed: tuple[Output, ...] = row.outputs if row else ()
        return (row.source.version_id if row else None) == self.served(key) and self.outputs(key) == {
            (one.bucket, one.key) for one in listed
        }


@pytest.fixture(scope="session")
def bench(clients: Clients) -> Bench:
    """Buckets and a table of their own, for the whole run."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    settings = Settings(
        stack=name,
        account="000000000000",
        input_bucket=f"{name}-input",
        resized_bucket=f"{name}-resized",
        thumbnails_bucket=f"{name}-thumbnails",
        table=f"{name}-images",
        queue_url=None,
        max_receives=8,
        backoff=(1,),
        recipe=recipe_from_environment({}),
    )
    for bucket in (settings.input_bucket, settings.resized_bucket, settings.thumbnails_bucket):
        clients["s3"].create_bucket(Bucket=bucket)
    clients["s3"].put_bucket_versioning(Bucket=settings.input_bucket, VersioningConfiguration={"Status": "Enabled"})
    clients["dynamodb"].create_table(
        TableName=settings.table,
        KeySchema=[{"AttributeName": "image_key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "image_key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return Bench(clients, settings)
