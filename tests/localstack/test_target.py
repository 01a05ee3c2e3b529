"""What answers on LocalStack's port is LocalStack, or is not taken for it."""

from __future__ import annotations

import platform
from collections.abc import Callable

import pytest
from standins import HEALTHY, mute

from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.targets import localstack
from imgpipe.targets.localstack import LocalStackTarget

Serve = Callable[..., int]


def target(port: int) -> LocalStackTarget:
    return LocalStackTarget(f"http://127.0.0.1:{port}", "eu-west-1")


def test_a_healthy_localstack_is_connected_to_with_keys_of_no_account(serve: Serve) -> None:
    port = serve(HEALTHY)
    found = target(port).connect()
    assert (found.target, found.region, found.endpoint_url) == ("localstack", "eu-west-1", f"http://127.0.0.1:{port}")
    assert (found.access_key_id, found.secret_access_key, found.profile) == ("test", "test", None)


def test_a_running_one_is_used_without_docker(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    port = serve(HEALTHY)
    assert target(port).start(lambda _: None).endpoint_url == f"http://127.0.0.1:{port}"


def test_a_proxy_of_the_environment_does_not_see_the_question(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert target(serve(HEALTHY)).connect()


def test_a_port_that_nobody_listens_on_is_not_up(unused_port: int) -> None:
    with pytest.raises(ImgpipeError) as raised:
        target(unused_port).connect()
    assert (raised.value.code, raised.value.status) == ("not_up", ExitStatus.UNREACHABLE)
    assert raised.value.hint == f"imgpipe -t localstack --endpoint-url http://127.0.0.1:{unused_port} up"


@pytest.mark.parametrize("greeting", [None, b""])
def test_a_port_that_takes_connections_and_says_nothing_is_not_up(
    greeting: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localstack, "_READ_TIMEOUT", 0.2)
    with mute(greeting) as port, pytest.raises(ImgpipeError) as raised:
        target(port).connect()
    assert raised.value.code == "not_up"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("<html>It works!</html>", 200),
        ('{"detail": "Not Found"}', 404),
        ('{"status": "ok"}', 200),
        ("[]", 200),
        ('{"services": {"s3": "available"}, "edition": "light", "version": "1.5.33"}', 200),
    ],
)
def test_another_program_on_the_port_is_called_by_what_it_is_not(serve: Serve, body: str, status: int) -> None:
    port = serve(body, status)
    for verb in (target(port).connect, lambda: target(port).start(lambda _: None)):
        with pytest.raises(ImgpipeError) as raised:
            verb()
        assert (raised.value.code, raised.value.status) == ("not_localstack", ExitStatus.UNREACHABLE)
        assert f"lsof -i :{port}" in raised.value.hint


def test_an_answer_that_is_not_http_is_not_localstack() -> None:
    with mute(b"SSH-2.0-OpenSSH_9.6\r\n") as port, pytest.raises(ImgpipeError) as raised:
        target(port).connect()
    assert raised.value.code == "not_localstack"


@pytest.mark.parametrize(
    "endpoint",
    [
        *("http://10.0.0.1:4566", "http://localstack.example.org:4566", "https://127.0.0.1:4566", "127.0.0.1:4566"),
        *(
            "http://localhost.localstack.cloud:4566",
            "http://127.0.0.1:port",
            "http://127.0.0.1:4566/path",
            "http://127.0.0.1:99999",
        ),
        "http://127.0.0.1@10.0.0.1:4566",
    ],
)
def test_only_this_machine_can_be_an_endpoint(endpoint: str) -> None:
    with pytest.raises(ImgpipeError) as raised:
        LocalStackTarget(endpoint, "us-east-1")
    assert raised.value.status is ExitStatus.USAGE


@pytest.mark.parametrize("endpoint", ["http://localhost:4566", "http://127.0.0.1:4566/", "http://[::1]:4566", None])
def test_every_name_of_this_machine_can_be_an_endpoint(endpoint: str | None) -> None:
    assert LocalStackTarget(endpoint, "us-east-1")


@pytest.mark.parametrize(("machine", "expected"), [("aarch64", "arm64"), ("arm64", "arm64"), ("x86_64", "x86_64")])
def test_functions_run_on_this_machines_architecture(
    machine: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    here = LocalStackTarget(None, "us-east-1")
    assert here.parameters({})["Architecture"] == expected
    assert here.parameters({"Architecture": "arm64"})["Architecture"] == "arm64"
    assert "KmsKeyArn" not in here.parameters({"KmsKeyArn": "arn:aws:kms:::key/1"})
