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

from imgpipe.failures import explain, is_remote, may_pass

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
