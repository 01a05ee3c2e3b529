"""`imgpipe -t aws up`, with the engine answering in AWS's place: what is sent to AWS's hosts is carried there."""

from __future__ import annotations

import http.client
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
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


ADDRESS = "ops@example.com"


@pytest.mark.usefixtures("hosts")
def test_alarms_are_mailed_where_the_flag_says_and_the_address_has_to_confirm(
    engine: Connection, stage: str, up: Up, tmp_path: Path
) -> None:
    def subscribed() -> list[str]:
        topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:{Names.of(stage, ACCOUNT, REGION).topic}"
        found = Clients(engine)["sns"].list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        return [one["Endpoint"] for one in found]

    (tmp_path / "imgpipe.toml").write_text('[parameters]\nalarm_email = "file@example.com"\n')
    assert f"up --yes --alarm-email {ADDRESS}" in up("--alarm-email", ADDRESS).err
    made = up("--yes", "--no-canary", "--alarm-email", ADDRESS)
    assert (made.status, subscribed()) == (0, [ADDRESS])
    assert f"AWS has sent a mail to {ADDRESS}" in made.err
    again = up("--yes", "--no-canary", "--alarm-email", ADDRESS)
    assert (again.status, "mail" in again.err) == (0, False)
    none = up("--yes", "--no-canary", "--alarm-email", "")
    assert (none.status, subscribed(), "mail" in none.err) == (0, [], False)
    assert up("--yes", "--no-canary").status == 0
    assert subscribed() == ["file@example.com"]


def test_alarms_are_mailed_to_addresses_only_and_on_aws_only(run: Callable[..., Finished]) -> None:
    wrong = run("-t", "aws", "--region", REGION, "up", "--alarm-email", "ops", env=KEYS)
    assert (wrong.status, "'ops' is not an e-mail address" in wrong.err) == (2, True)
    for target in ("local", "localstack"):
        done = run("-t", target, "up", "--alarm-email", ADDRESS, "--json")
        assert (done.status, done.document["error"]["code"]) == (2, "usage")
        assert "AWS only" in done.document["error"]["message"]
        assert done.document["error"]["hint"] == f"imgpipe -t aws up --alarm-email {ADDRESS}"
