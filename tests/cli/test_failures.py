"""What botocore raises, as a sentence with the right exit status."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from imgpipe.failures import explain, is_remote, may_pass, missing_permission

URL = "http://127.0.0.1:1/bucket/key.jpg"


@pytest.mark.parametrize("kind", [EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError])
def test_silence_is_status_4_and_names_the_host(kind: type[Exception]) -> None:
    failure = explain(kind(endpoint_url=URL, error="refused"))
    assert (failure.status, failure.code) == (4, "not_up")
    assert failure.message == "Nothing answers at http://127.0.0.1:1."


def refused(code: str, status: int) -> ClientError:
    answer = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetItem")


@pytest.mark.parametrize(
    ("error", "remote", "passing"),
    [
        (EndpointConnectionError(endpoint_url=URL), True, True),
        (refused("ThrottlingException", 400), True, True),
        (refused("SlowDown", 503), True, True),
        (refused("AccessDenied", 403), True, False),
        (NoCredentialsError(), True, False),
        (ZeroDivisionError(), False, False),
    ],
)
def test_what_may_pass_is_told_from_what_stays(error: Exception, remote: bool, passing: bool) -> None:
    assert (is_remote(error), may_pass(error)) == (remote, passing)


def test_silence_beyond_this_machine_is_not_blamed_on_the_pipeline() -> None:
    failure = explain(EndpointConnectionError(endpoint_url="https://sqs.eu-west-1.amazonaws.com/"))
    assert failure.status == 4
    assert failure.hint.startswith("curl -I https://sqs.eu-west-1.amazonaws.com")


@pytest.mark.parametrize(
    ("said", "permission"),
    [
        (
            "User: arn:aws:iam::1:user/ada is not authorized to perform: iam:CreateRole on resource: "
            "arn:aws:iam::1:role/x because no identity-based policy allows it",
            "iam:CreateRole on arn:aws:iam::1:role/x",
        ),
        ("You are not authorized to perform sqs:SendMessage.", "sqs:SendMessage"),
        ("The bucket is not there", None),
    ],
)
def test_the_permission_that_is_missing_is_read_from_the_refusal(said: str, permission: str | None) -> None:
    assert missing_permission(said) == permission


def test_a_refusal_hints_at_the_permission_and_is_no_matter_of_credentials() -> None:
    failure = explain(refused("AccessDenied", 403))
    assert (failure.code, failure.status) == ("access_denied", 1)
    assert "GetItem" in failure.hint


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException"])
def test_credentials_that_end_in_the_middle_are_status_5(code: str) -> None:
    failure = explain(refused(code, 400))
    assert (failure.code, failure.status) == ("credentials", 5)
    assert failure.hint
