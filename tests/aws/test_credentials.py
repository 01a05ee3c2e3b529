"""Nobody gets anywhere on AWS before it is known who they are; what stops them is said with what mends it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import Finished
from faraway import ACCOUNT, KEYS, REGION, Wire, caller, refusal

from imgpipe.errors import ImgpipeError
from imgpipe.targets.aws import AwsTarget

Run = Callable[..., Finished]
Prepare = Callable[[pytest.MonkeyPatch, Path], None]


def config(folder: Path, text: str, name: str = "config") -> None:
    (folder / ".aws").mkdir(exist_ok=True)
    (folder / ".aws" / name).write_text(text)


def nothing(_: pytest.MonkeyPatch, __: Path) -> None:
    """An empty home folder."""


def sso(_: pytest.MonkeyPatch, home: Path) -> None:
    portal = "sso_start_url = https://example.awsapps.com/start\nsso_region = eu-west-1\n"
    role = f"sso_account_id = {ACCOUNT}\nsso_role_name = deploy\n"
    config(home, f"[profile prod]\nsso_session = work\n{role}[sso-session work]\n{portal}")


def old_sso(_: pytest.MonkeyPatch, home: Path) -> None:
    portal = "sso_start_url = https://example.awsapps.com/start\nsso_region = eu-west-1\n"
    config(home, f"[profile prod]\n{portal}sso_account_id = {ACCOUNT}\nsso_role_name = deploy\n")


def half_a_key(_: pytest.MonkeyPatch, home: Path) -> None:
    config(home, "[prod]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n", "credentials")


def broken_files(_: pytest.MonkeyPatch, home: Path) -> None:
    config(home, "[profile prod\nthis is no configuration")


def failing_helper(_: pytest.MonkeyPatch, home: Path) -> None:
    config(home, "[profile prod]\ncredential_process = false\n")


def others(_: pytest.MonkeyPatch, home: Path) -> None:
    config(home, "[profile blue]\nregion = eu-west-1\n[profile green]\nregion = eu-west-1\n")


@pytest.mark.parametrize(
    ("prepare", "profile", "message", "hint"),
    [
        (nothing, None, "There are no AWS credentials.", "aws configure, or aws login"),
        (others, None, "There are no AWS credentials.", "imgpipe --profile with one of blue, green"),
        (nothing, "prod", "There is no AWS profile prod; there are none at all.", "aws configure --profile prod"),
        (others, "prod", "There is no AWS profile prod; there are blue, green.", "aws configure --profile prod"),
        (others, "blue", "There are no AWS credentials of the profile blue.", "aws configure --profile blue"),
        (sso, "prod", "The SSO session of the profile prod has expired or was never", "aws sso login --profile prod"),
        (
            old_sso,
            "prod",
            "The SSO session of the profile prod has expired or was never",
            "aws sso login --profile prod",
        ),
        (half_a_key, "prod", "aws_secret_access_key", "aws sts get-caller-identity --profile prod"),
        (failing_helper, "prod", "custom-process", "aws sts get-caller-identity --profile prod"),
        (broken_files, "prod", "config", "aws"),
    ],
)
def test_what_is_missing_on_this_machine_is_named_with_what_mends_it(
    wire: Wire,
    bare: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Prepare,
    profile: str | None,
    message: str,
    hint: str,
) -> None:
    prepare(monkeypatch, bare)
    with pytest.raises(ImgpipeError) as failure:
        AwsTarget(REGION, profile, None).connect()
    assert (failure.value.status, failure.value.code) == (5, "credentials")
    assert message in failure.value.message
    assert hint in failure.value.hint
    assert wire.sent == []


@pytest.mark.parametrize(
    ("status", "code", "said", "message", "hint"),
    [
        (403, "ExpiredToken", "The security token included in the request is expired", "have expired", "fresh"),
        (403, "InvalidClientTokenId", "The security token is invalid.", "region is not enabled", "fresh"),
        (403, "SignatureDoesNotMatch", "The request signature does not match", "secret key", "fresh"),
        (403, "SignatureDoesNotMatch", "Signature expired: 20260301T120000Z is now earlier than", "clock", "date"),
    ],
)
def test_what_aws_refuses_is_named_with_what_mends_it(
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
    said: str,
    message: str,
    hint: str,
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    wire.answer = lambda _: (status, refusal(code, said))
    with pytest.raises(ImgpipeError) as failure:
        AwsTarget(REGION, None, None).connect()
    assert (failure.value.status, failure.value.code) == (5, "credentials")
    assert message in failure.value.message
    assert hint in failure.value.hint


def test_expired_keys_of_a_profile_are_renewed_by_its_own_command(wire: Wire, bare: Path) -> None:
    config(bare, "[prod]\naws_access_key_id = AKIA\naws_secret_access_key = x\naws_session_token = t\n", "credentials")
    wire.answer = lambda _: (403, refusal("ExpiredToken", "The security token included in the request is expired"))
    with pytest.raises(ImgpipeError, match="of the profile prod have expired") as failure:
        AwsTarget(REGION, "prod", None).connect()
    assert failure.value.hint == "aws configure --profile prod"


def test_an_instance_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(ImgpipeError, match="no AWS credentials"):
            AwsTarget(REGION, None, None).connect()
        assert time.monotonic() - began < 6  # twice a second of silence, and a slow machine


def test_whose_the_credentials_are_is_asked_once(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    wire.answer = lambda _: (200, caller())
    target = AwsTarget(REGION, None, ACCOUNT)
    assert target.connect().endpoint_url is None
    target.start(lambda _: None)
    assert target.place == "AWS 123456789012 eu-west-1"
    assert len(wire.sent) == 1


LOOKING = [("status",), ("ls",), ("meta", "a.jpg"), ("logs",), ("up", "--dry-run")]
ACTING = [("up", "--yes"), ("upload", "--sample"), ("rm", "a.jpg", "--yes"), ("down", "--yes")]


@pytest.mark.parametrize("command", LOOKING + ACTING, ids=" ".join)
def test_without_credentials_every_command_ends_in_a_sentence_with_status_5(
    run: Run, wire: Wire, command: tuple[str, ...]
) -> None:
    done = run("-t", "aws", "--region", REGION, *command)
    assert done.status == 5, done
    assert "error: There are no AWS credentials.\n" in done.err
    assert "Traceback" not in done.err
    assert wire.sent == []


@pytest.mark.parametrize("command", ACTING[:2], ids=" ".join)
def test_with_expired_credentials_nothing_but_sts_is_asked(run: Run, wire: Wire, command: tuple[str, ...]) -> None:
    wire.answer = lambda _: (403, refusal("ExpiredToken", "The security token included in the request is expired"))
    done = run("-t", "aws", "--region", REGION, *command, "--json", env=KEYS)
    assert (done.status, done.document["error"]["code"]) == (5, "credentials")
    assert set(wire.hosts) == {"sts.eu-west-1.amazonaws.com"}


@pytest.mark.parametrize("command", ACTING, ids=" ".join)
def test_in_the_wrong_account_nothing_is_touched(run: Run, wire: Wire, command: tuple[str, ...]) -> None:
    wire.answer = lambda _: (200, caller("999999999999"))
    here = {**KEYS, "IMGPIPE_ACCOUNT": ACCOUNT}
    done = run("-t", "aws", "--region", REGION, *command, "--json", env=here)
    assert (done.status, done.document["error"]["code"]) == (5, "wrong_account")
    assert "999999999999" in done.document["error"]["message"]
    assert ACCOUNT in done.document["error"]["message"]
    assert set(wire.hosts) == {"sts.eu-west-1.amazonaws.com"}


def test_an_unknown_region_is_status_4_and_gets_a_suggestion(
    run: Run, outside: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the attempts
    done = run("-t", "aws", "--region", "eu-wset-1", "status", env=KEYS)
    assert done.status == 4
    assert "eu-wset-1 is no region that botocore knows" in done.err
    assert "eu-west-1" in done.err.partition("hint:")[2]
    assert set(outside) == {"sts.eu-wset-1.amazonaws.com"}
    outside.clear()


def test_a_silent_endpoint_of_a_known_region_is_status_4(
    run: Run, outside: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    done = run("-t", "aws", "--region", REGION, "up", "--yes", env=KEYS)
    assert done.status == 4
    assert "Nothing answers at https://sts.eu-west-1.amazonaws.com." in done.err
    outside.clear()


@pytest.mark.parametrize("command", [("status",), ("ls",), ("up", "--dry-run")])
def test_ambient_credentials_never_make_a_command_talk_to_aws(run: Run, wire: Wire, command: tuple[str, ...]) -> None:
    done = run(*command, env={**KEYS, "AWS_PROFILE": "prod", "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION})
    assert done.status in (0, 4)
    assert wire.sent == []
