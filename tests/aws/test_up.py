"""`imgpipe -t aws up`, with the engine answering in AWS's place: what is sent to AWS's hosts is carried there."""

from __future__ import annotations

import http.client
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session
from commandline import Finished
from faraway import KEYS, Raw

from imgpipe.aws import Clients
from imgpipe.stack.bundle import source_bundle
from imgpipe.stack.names import Names
from imgpipe.stack.teardown import teardown
from imgpipe.targets.aws import AwsTarget
from imgpipe.targets.base import Connection

ACCOUNT, REGION = "000000000000", "us-east-1"
Up = Callable[..., Finished]


@pytest.fixture
def hosts(engine: Connection, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts of AWS that were asked; the engine answered."""
    asked: list[str] = []
    port = urlsplit(engine.endpoint_url or "").port

    def carry(_: URLLib3Session, request: Any) -> AWSResponse:
        url = urlsplit(request.url)
        asked.append(url.netloc)
        bucket, dot, _rest = url.netloc.partition(".s3.")
        path = f"/{bucket}{url.path}" if dot else url.path
        body = request.body.read() if hasattr(request.body, "read") else request.body
        there = http.client.HTTPConnection("127.0.0.1", port or 0, timeout=60)
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        there.request(request.method, f"{path}?{url.query}" if url.query else path, body, headers)
        answer = there.getresponse()
        content = answer.read()
        there.close()
        return AWSResponse(request.url, answer.status, SimpleHeaders(answer.getheaders()), Raw(content))

    monkeypatch.setattr(URLLib3Session, "send", carry)
    monkeypatch.setattr(AwsTarget, "bundle", lambda *_: source_bundle())
    return asked


class SimpleHeaders(dict[str, str]):
    """Headers by their names in any case."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__((name.lower(), value) for name, value in pairs)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


@pytest.fixture
def stage(engine: Connection) -> Iterator[str]:
    name = "a" + uuid.uuid4().hex[:9]
    yield name
    assert teardown(Clients(engine), name, lambda _: None) == ()


@pytest.fixture
def up(run: Callable[..., Finished], stage: str) -> Up:
    """Runs `imgpipe up ARGUMENTS` on aws."""

    def call(*arguments: str) -> Finished:
        keys = {**KEYS, "AWS_ACCESS_KEY_ID": "test"}
        return run("-t", "aws", "--region", REGION, "--stage", stage, "up", *arguments, env=keys)

    return call


def stands(engine: Connection, stage: str) -> str:
    from imgpipe.stack.deploy import describe

    view = describe(Clients(engine), stage)
    return view.status if view else ""


def test_the_plan_comes_first_and_nothing_is_done_where_nobody_can_be_asked(
    hosts: list[str], engine: Connection, stage: str, up: Up
) -> None:
    done = up()
    assert {host.partition(".")[2] for host in hosts} == {f"{REGION}.amazonaws.com"}
    assert done.status == 6
    assert f"AWS {ACCOUNT} {REGION}\n" in done.err
    assert f"Create the stage {stage} in the account {ACCOUNT}, {REGION}:" in done.out
    assert "+   InputBucket" in done.out
    assert "There is nobody to ask." in done.err
    assert f"imgpipe -t aws --stage {stage} --region {REGION} up --yes" in done.err
    assert stands(engine, stage) == ""


def test_a_dry_run_tells_its_plan_and_leaves_no_trace(hosts: list[str], engine: Connection, stage: str, up: Up) -> None:
    done = up("--dry-run", "--exit-code", "--json")
    assert {host.partition(".")[0] for host in hosts} == {"sts", "cloudformation"}  # no bucket: nothing is uploaded
    assert done.status == 3
    assert done.document["outcome"] == "planned"
    assert done.document["outputs"] is None
    assert {one["action"] for one in done.document["changes"]} == {"Add"}
    assert stands(engine, stage) == ""


@pytest.mark.usefixtures("hosts")
def test_a_yes_deploys_and_what_is_up_is_unchanged(engine: Connection, stage: str, up: Up) -> None:
    made = up("--yes", "--no-canary", "--json").document
    assert (made["outcome"], made["account"], made["region"]) == ("created", ACCOUNT, REGION)
    assert made["endpoint"] is None
    assert made["outputs"]["input_bucket"] == Names.of(stage, ACCOUNT, REGION).input_bucket
    assert made["canary"] is None
    assert stands(engine, stage) == "CREATE_COMPLETE"

    again = up("--dry-run", "--exit-code")
    assert (again.status, again.out) == (0, "Nothing would change.\n")
    assert up("--json").document["outcome"] == "unchanged"
