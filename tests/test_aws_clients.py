"""Clients of an emulated target depend on nothing that the environment says about AWS; those of AWS on all of it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES

from imgpipe import __version__
from imgpipe.aws import Clients
from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.targets.base import Connection

AWS = Connection("aws", "eu-west-1")

Surroundings = Callable[[pytest.MonkeyPatch, Path], None]


def _missing_profile(monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
    monkeypatch.setenv("AWS_PROFILE", "does-not-exist")


def _missing_default_profile(monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
    monkeypatch.setenv("AWS_DEFAULT_PROFILE", "does-not-exist")


def _endpoint(monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")


def _proxy(monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def _broken_files(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        (folder / name).write_text("[default\nthis is no configuration")
        monkeypatch.setenv(name, str(folder / name))


def _hostile_config(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    lines = ["[default]", "region = mars-north-1", "endpoint_url = http://127.0.0.1:9", "use_fips_endpoint = true"]
    lines += ["use_dualstack_endpoint = true", "ca_bundle = /no/such/file", "s3 =", "  addressing_style = virtual"]
    (folder / "config").write_text("\n".join(lines))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))


def _switches(monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
    for name in ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("AWS_CA_BUNDLE", "/no/such/file")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "none")
    monkeypatch.setenv("AWS_RETRY_MODE", "wrong")


def _nonsense(monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
    """Every variable that botocore reads, set to what it would refuse."""
    for _, variables, *_rest in BOTOCORE_DEFAUT_SESSION_VARIABLES.values():
        for name in [variables] if isinstance(variables, str) else variables or ():
            monkeypatch.setenv(name, "nonsense")
    monkeypatch.setenv("AWS_S3_US_EAST_1_REGIONAL_ENDPOINT", "nonsense")


@pytest.mark.parametrize(
    "surroundings",
    [
        _missing_profile,
        _missing_default_profile,
        _endpoint,
        _proxy,
        _broken_files,
        _hostile_config,
        _switches,
        _nonsense,
    ],
)
def test_an_emulated_connection_works_whatever_surrounds_it(
    engine: Connection, surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    surroundings(monkeypatch, tmp_path)
    clients = Clients(engine)
    assert clients["sts"].get_caller_identity()["Account"] == "000000000000"
    clients["s3"].list_buckets()
    for service in ("cloudformation", "dynamodb", "lambda", "logs", "sqs"):
        assert clients[service].meta.endpoint_url == engine.endpoint_url
        assert clients[service].meta.region_name == engine.region


def test_a_client_is_made_once(engine: Connection) -> None:
    clients = Clients(engine)
    assert clients["s3"] is clients["s3"]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home of its own with one AWS profile in it and nothing in the environment; the path of its config file."""
    for name in [one for one in os.environ if one.startswith("AWS_")]:
        monkeypatch.delenv(name)
    config = tmp_path / "config"
    config.write_text("[default]\n[profile work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return config


class _NotSentError(Exception):
    """Raised in place of sending a request."""


def _sent(client: Any, operation: str, **parameters: Any) -> Any:
    """The request that a client would send, which is not sent."""
    requests: list[Any] = []

    def keep(request: Any, **_: Any) -> None:
        requests.append(request)
        raise _NotSentError

    client.meta.events.register("before-send", keep)
    with pytest.raises(_NotSentError):
        getattr(client, operation)(**parameters)
    return requests[0]


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("region", ["eu-west-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "us-iso-east-1"])
def test_on_aws_every_partition_and_every_switch_of_the_user_leads_to_aws(
    region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {one: Clients(Connection("aws", region))[one].meta.endpoint_url for one in ("s3", "sts")}
    assert all(url.startswith("https://") for url in plain.values())
    assert region in plain["sts"]
    for switch in ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"):
        with monkeypatch.context() as patch:
            patch.setenv(switch, "true")
            assert Clients(Connection("aws", region))["s3"].meta.endpoint_url != plain["s3"]


def test_a_call_to_aws_is_signed_by_the_profile_for_region_and_service(account: Path) -> None:
    del account
    clients = Clients(Connection("aws", "eu-west-1", profile="work"))
    request = _sent(clients["sts"], "get_caller_identity")
    authorization = request.headers["Authorization"].decode()
    assert urlsplit(request.url).hostname == "sts.eu-west-1.amazonaws.com"
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIAWORK/")
    assert "/eu-west-1/sts/aws4_request" in authorization
    assert f" imgpipe/{__version__}" in request.headers["User-Agent"].decode()


def test_a_call_to_an_emulator_is_signed_with_its_own_keys(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del account
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "AMBIENT")
    monkeypatch.setenv("AWS_PROFILE", "work")
    here = Connection("localstack", "eu-west-1", "http://127.0.0.1:9", access_key_id="test", secret_access_key="test")
    request = _sent(Clients(here)["s3"], "head_bucket", Bucket="a-bucket")
    assert request.url == "http://127.0.0.1:9/a-bucket"
    assert "Credential=test/" in request.headers["Authorization"].decode()
    assert not [value for value in request.headers.values() if b"AMBIENT" in bytes(value)]


def test_an_endpoint_of_a_vpc_is_used(account: Path) -> None:
    url = "https://bucket.vpce-0a1b.s3.eu-west-1.vpce.amazonaws.com"
    account.write_text(f"[default]\nservices = mine\n[services mine]\ns3 =\n  endpoint_url = {url}\n")
    assert Clients(AWS)["s3"].meta.endpoint_url == url


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4566", "https://s3.amazonaws.com.example.org", "http://s3.eu-west-1.amazonaws.com"]
)
@pytest.mark.parametrize("place", ["environment", "profile"])
def test_what_is_not_aws_is_refused_on_aws(
    account: Path, monkeypatch: pytest.MonkeyPatch, url: str, place: str
) -> None:
    if place == "profile":
        account.write_text(f"[default]\nendpoint_url = {url}\n")
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(ImgpipeError) as caught:
        Clients(AWS)["sts"]
    assert caught.value.status is ExitStatus.REFUSED
    assert url in caught.value.message
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert Clients(AWS)["sts"].meta.endpoint_url == "https://sts.eu-west-1.amazonaws.com"


def test_where_there_are_no_credentials_the_answer_comes_soon(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata service of EC2 is asked last: here it takes the connection and stays silent.

    botocore waits a second for each of two questions; with the patience of other calls it would be minutes.
    """
    del account
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(8)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{mute.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(Exception, match="Unable to locate credentials"):
            Clients(AWS)["sts"].get_caller_identity()
        assert time.monotonic() - began < 15


def test_a_first_call_may_take_as_long_as_a_cold_localstack_does(engine: Connection) -> None:
    assert Clients(engine)["lambda"].meta.config.read_timeout >= 60
