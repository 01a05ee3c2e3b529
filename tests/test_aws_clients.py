"""Clients of an emulated target depend on nothing that the user's environment says about AWS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imgpipe.aws import Clients
from imgpipe.targets.base import Connection

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


@pytest.mark.parametrize(
    "surroundings",
    [_missing_profile, _missing_default_profile, _endpoint, _proxy, _broken_files, _hostile_config, _switches],
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
