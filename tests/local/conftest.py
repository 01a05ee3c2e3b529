"""A pipeline that is really up, as `imgpipe up` leaves it, and a plain boto3 client's view of it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from commandline import Finished, clean_environment, in_process

from image_pipeline.record import ImageRecord
from imgpipe import catalog
from imgpipe.aws import Clients
from imgpipe.stack.deploy import describe
from imgpipe.stack.names import StackOutputs
from imgpipe.targets.local import LocalTarget


@dataclass
class Pipeline:
    """One stage with state of its own, reached by the command line and by plain AWS calls."""

    home: Path
    port: int

    def imgpipe(self, *arguments: str, cwd: Path | None = None) -> Finished:
        """Run a command line on it."""
        env = clean_environment(self.home) | {"IMGPIPE_PORT": str(self.port)}
        return in_process(*arguments, env=env, cwd=cwd or self.home)

    @property
    def target(self) -> LocalTarget:
        return LocalTarget("dev", self.home / "home", self.port, "us-east-1")

    @cached_property
    def clients(self) -> Clients:
        """Clients that also reach the engine after a restart, since it keeps its port."""
        return Clients(self.target.connect())

    @cached_property
    def outputs(self) -> StackOutputs:
        view = describe(self.clients, "dev")
        assert view is not None
        assert view.outputs is not None
        return view.outputs

    @property
    def engine_pid(self) -> int:
        """The process id of the running engine."""
        return int(json.loads((self.home / "home" / "dev" / "engine.json").read_text())["pid"])


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """What `condition` returns as soon as it is true; fails the test when it stays false."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
        time.sleep(0.1)
    return value


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Up for one module, and gone afterwards whatever happened."""
    pipeline = Pipeline(tmp_path_factory.mktemp("pipeline"), free_port())
    try:
        up = pipeline.imgpipe("up")
        assert up.status == 0, up
        yield pipeline
    finally:
        pipeline.target.destroy()


class Bucket:
    """The pipeline through plain AWS calls: what is put in, and what comes out."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.clients, self.outputs = pipeline.clients, pipeline.outputs

    def put(self, key: str, data: bytes) -> str:
        """Upload; returns the version id."""
        answer = self.clients["s3"].put_object(Bucket=self.outputs.input_bucket, Key=key, Body=data)
        return str(answer["VersionId"])

    def delete(self, key: str, version: str | None = None) -> str:
        """Delete the object or one version of it; returns the version id of the marker or version."""
        which = {"VersionId": version} if version else {}
        answer = self.clients["s3"].delete_object(Bucket=self.outputs.input_bucket, Key=key, **which)
        return str(answer["VersionId"])

    def row(self, key: str) -> ImageRecord | None:
        return catalog.row(self.clients, self.outputs.table, key)

    def row_of(self, key: str, version: str) -> ImageRecord:
        """The row, as soon as it is about `version`."""

        def found() -> ImageRecord | None:
            row = self.row(key)
            return row if row and row.source.version_id == version else None

        row: ImageRecord = until(found)
        return row

    def rows(self) -> dict[str, ImageRecord]:
        """Every row of the table."""
        pages = (
            self.clients["dynamodb"]
            .get_paginator("scan")
            .paginate(TableName=self.outputs.table, ConsistentRead=True, ProjectionExpression="image_key")
        )
        keys = [item["image_key"]["S"] for page in pages for item in page["Items"]]
        return catalog.rows(self.clients, self.outputs.table, keys)

    def objects(self) -> set[tuple[str, str]]:
        """Every (bucket, key) in the output buckets."""
        found = set()
        for bucket in (self.outputs.resized_bucket, self.outputs.thumbnails_bucket):
            for page in self.clients["s3"].get_paginator("list_objects_v2").paginate(Bucket=bucket):
                found |= {(bucket, one["Key"]) for one in page.get("Contents", [])}
        return found

    def depth(self, url: str) -> int:
        """Messages in a queue, waiting or in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(answer[name]) for name in names)

    def wait_until_quiet(self, seconds: float = 120) -> None:
        """Wait until no message waits or is in work."""
        until(lambda: self.depth(self.outputs.jobs_queue_url) == 0, seconds)

    def orphans(self) -> set[tuple[str, str]]:
        """Outputs that no row lists, and, as a failure, listed outputs that do not exist."""
        listed = {(one.bucket, one.key) for row in self.rows().values() for one in row.outputs}
        assert listed <= self.objects()
        return self.objects() - listed


@pytest.fixture
def bucket(pipeline: Pipeline) -> Bucket:
    return Bucket(pipeline)
