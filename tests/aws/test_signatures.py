"""Every target's requests go to its own endpoint, signed for it, with its own keys."""

from __future__ import annotations

import re

import pytest
from faraway import KEYS, Wire, caller

from imgpipe.aws import Clients
from imgpipe.targets.aws import AwsTarget
from imgpipe.targets.base import Connection

KEY = KEYS["AWS_ACCESS_KEY_ID"]


@pytest.fixture(autouse=True)
def ambient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and settings of the user's, as they may lie around."""
    for name, value in {**KEYS, "AWS_REGION": "ap-south-1"}.items():
        monkeypatch.setenv(name, value)


def scope(request: object) -> tuple[str, str, str]:
    """The key, region and service that a request is signed with."""
    said = str(getattr(request, "headers")["Authorization"])  # noqa: B009
    found = re.search(r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request", said)
    assert found, said
    return found[1], found[2], found[3]


@pytest.mark.parametrize(
    ("region", "partition", "domain"),
    [
        ("eu-west-1", "aws", "amazonaws.com"),
        ("us-east-1", "aws", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
    ],
)
def test_on_aws_the_region_decides_the_endpoint_and_the_signature(
    wire: Wire, region: str, partition: str, domain: str
) -> None:
    wire.answer = lambda _: (200, caller(partition=partition))
    target = AwsTarget(region, None, None)
    clients = Clients(target.connect())
    assert wire.hosts == [f"sts.{region}.{domain}"]
    assert wire.sent[0].url.startswith("https://")
    assert scope(wire.sent[0]) == (KEY, region, "sts")
    for service, host in (
        ("cloudformation", f"cloudformation.{region}.{domain}"),
        ("dynamodb", f"dynamodb.{region}.{domain}"),
        ("sqs", f"sqs.{region}.{domain}"),
        ("logs", f"logs.{region}.{domain}"),
    ):
        assert clients[service].meta.endpoint_url == f"https://{host}"


def test_a_bucket_on_aws_is_asked_by_its_own_host_in_its_own_region(wire: Wire) -> None:
    wire.answer = lambda _: (200, "")
    clients = Clients(Connection(target="aws", region="eu-west-1"))
    clients["s3"].head_bucket(Bucket="imgpipe-prod-input-images-123456789012-eu-west-1")
    assert wire.hosts == ["imgpipe-prod-input-images-123456789012-eu-west-1.s3.eu-west-1.amazonaws.com"]
    assert scope(wire.sent[0]) == (KEY, "eu-west-1", "s3")


@pytest.mark.parametrize("target", ["local", "localstack"])
def test_an_emulator_is_asked_on_this_machine_with_keys_that_open_nothing(wire: Wire, target: str) -> None:
    wire.answer = lambda _: (200, caller("000000000000"))
    place = Connection(
        target=target,
        region="us-east-1",
        endpoint_url="http://127.0.0.1:4566",
        access_key_id="test",
        secret_access_key="test",
    )
    clients = Clients(place)
    clients["sts"].get_caller_identity()
    clients["s3"].head_bucket(Bucket="a-bucket")
    assert wire.hosts == ["127.0.0.1:4566", "127.0.0.1:4566"]
    assert scope(wire.sent[0]) == ("test", "us-east-1", "sts")
    assert scope(wire.sent[1]) == ("test", "us-east-1", "s3")
    assert all("X-Amz-Security-Token" not in one.headers for one in wire.sent)
