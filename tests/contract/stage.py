"""One stage of a target, used as its owner does: by the command line, and by plain AWS calls to look."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from commandline import Finished, clean_environment, in_process

from imgpipe import config, targets
from imgpipe.aws import Clients
from imgpipe.stack.deploy import describe
from imgpipe.stack.names import Names, StackOutputs, identity
from imgpipe.targets.base import Target

ENDPOINT = os.environ.get("IMGPIPE_TEST_ENDPOINT")
"""Where a LocalStack listens that the contract may use."""

PATIENCE = {"local": 60.0, "localstack": 180.0, "aws": 420.0}
"""Seconds that what must happen may take: LocalStack holds back an event for 80 s after an update, and AWS's metrics
are minutes behind."""

BRIEFLY = 4.0
"""Seconds to wait for what is known not to happen."""

SETTINGS = """\
[parameters]
concurrency = 2
dashboard = true
"""


def environment(target: str, home: Path) -> dict[str, str]:
    """What a command line of the target runs with: on AWS the credentials that the run was given, else none."""
    if target == "aws":
        removed = ("IMGPIPE_", "NO_COLOR", "FORCE_COLOR")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
        return kept | {"IMGPIPE_HOME": str(home / "home")}
    env = clean_environment(home)
    if target == "localstack":
        return env | {"IMGPIPE_ENDPOINT": ENDPOINT or ""}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return env | {"IMGPIPE_PORT": str(probe.getsockname()[1])}


@dataclass
class Stage:
    """A stage with a name and a folder of its own. `listed` says that the promise under test is known to be broken."""

    target: str
    name: str
    folder: Path
    env: dict[str, str]
    listed: bool = False
    shared: dict[str, Any] = field(default_factory=dict)

    def imgpipe(self, *arguments: str) -> Finished:
        """Run a command line on it, in its folder."""
        return in_process("-t", self.target, "--stage", self.name, *arguments, env=self.env, cwd=self.folder)

    def settings(self, more: str = "") -> None:
        """Write its imgpipe.toml: `more` stands before what every stage has."""
        (self.folder / "imgpipe.toml").write_text(more + SETTINGS)

    def up(self) -> Finished:
        """`imgpipe up`, which asks nobody."""
        return self.imgpipe("up", "--json", *(["--yes"] if self.target == "aws" else []))

    def must(self, done: Finished, status: int = 0) -> Any:
        """The JSON of a command that a test only builds upon: where it fails, the test proves nothing."""
        if done.status != status:
            pytest.fail(f"exit {done.status}: {done.err or done.out}")
        return done.document if done.out.startswith("{") else None

    @property
    def home(self) -> Path:
        """Where the targets keep their state."""
        return Path(self.env["IMGPIPE_HOME"])

    @cached_property
    def chosen(self) -> Target:
        flags = {"target": self.target, "stage": self.name}
        return targets.choose(config.load(flags, self.env, self.folder))

    @cached_property
    def clients(self) -> Clients:
        return Clients(self.chosen.connect())

    @property
    def stack(self) -> str:
        return self.names.stack

    @cached_property
    def names(self) -> Names:
        """What everything is called, whether or not there is a stack."""
        return Names.of(self.name, identity(self.clients).account, self.clients.connection.region)

    @cached_property
    def outputs(self) -> StackOutputs:
        view = describe(self.clients, self.name)
        if view is None or view.outputs is None:
            pytest.fail(f"there is no stack {self.stack}")
        return view.outputs

    @property
    def patience(self) -> float:
        return PATIENCE[self.target]

    def soon(self, condition: Callable[[], Any]) -> Any:
        """What `condition` returns once it is true, and its last word otherwise: a promise is asserted with this."""
        deadline = time.monotonic() + (BRIEFLY if self.listed else self.patience)
        while not (value := condition()) and time.monotonic() < deadline:
            time.sleep(0.1 if self.target == "local" else 0.5)
        return value

    def until(self, condition: Callable[[], Any]) -> Any:
        """What `condition` returns once it is true; what a test only builds upon is waited for with this."""
        deadline = time.monotonic() + self.patience
        while not (value := condition()):
            if time.monotonic() > deadline:
                pytest.fail(f"still {value!r} after {self.patience:.0f} s")
            time.sleep(0.1 if self.target == "local" else 0.5)
        return value

    def file(self, name: str, data: bytes) -> str:
        """A file of that name and content in the stage's folder."""
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def upload(self, key: str, data: bytes, *options: str) -> Finished:
        """`imgpipe upload`, waiting for the record."""
        file = self.file("upload", data)
        return self.imgpipe("upload", "--json", "--timeout", str(self.patience), "--key", key, *options, file)

    def ready(self, key: str, data: bytes, *options: str) -> dict[str, Any]:
        """The record of an image that a test only builds upon."""
        (record,) = self.must(self.upload(key, data, *options))["images"]
        return dict(record)

    def meta(self, key: str) -> dict[str, Any] | None:
        """The record as `imgpipe meta` shows it; None where it says that there is none."""
        done = self.imgpipe("meta", "--json", "--", key)
        return done.document if done.status == 0 else None

    def put(self, key: str, data: bytes) -> str:
        """Upload by plain S3; returns the version id."""
        answer = self.clients["s3"].put_object(Bucket=self.outputs.input_bucket, Key=key, Body=data)
        return str(answer["VersionId"])

    def about(self, key: str, version: str) -> dict[str, Any] | None:
        """The record of a key once it is about a version."""
        record = self.meta(key)
        return record if record and record["source"]["version_id"] == version else None

    def body(self, output: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """The bytes of an output, and what S3 says of them."""
        answer = self.clients["s3"].get_object(Bucket=output["bucket"], Key=output["key"])
        return answer["Body"].read(), answer

    def outputs_of(self, key: str) -> set[str]:
        """The URIs of everything made of a key."""
        found = set()
        for bucket in (self.outputs.resized_bucket, self.outputs.thumbnails_bucket):
            for page in self.clients["s3"].get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{key}/"):
                found |= {f"s3://{bucket}/{one['Key']}" for one in page.get("Contents", ())}
        return found

    def depth(self, url: str) -> int:
        """Messages in a queue, waiting or in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(answer[name]) for name in names)
