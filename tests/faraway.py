"""Talking to AWS without AWS: what was sent, and what is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from botocore.stub import Stubber

from imgpipe.aws import Clients

ACCOUNT, REGION = "123456789012", "eu-west-1"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"}

Answer = Callable[[Any], tuple[int, str]]


@dataclass
class Wire:
    """What was sent, signed and ready, and what is answered to it: a status and a body for a request."""

    answer: Answer = lambda request: (500, f"nobody answers {request.url}")
    sent: list[Any] = field(default_factory=list)

    @property
    def hosts(self) -> list[str]:
        return [urlsplit(one.url).netloc for one in self.sent]


class Raw:
    """A body as it comes from the network."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._body

    def read(self, *_: Any, **__: Any) -> bytes:
        body, self._body = self._body, b""
        return body


def caller(account: str = ACCOUNT, partition: str = "aws") -> str:
    """STS's answer to who calls."""
    return (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        f"<Arn>arn:{partition}:iam::{account}:user/ada</Arn><UserId>AIDACKCEVSQ6C2EXAMPLE</UserId>"
        f"<Account>{account}</Account></GetCallerIdentityResult><ResponseMetadata>"
        "<RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    )


def refusal(code: str, message: str) -> str:
    """STS's way to say no."""
    return (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
        f"<Code>{code}</Code><Message>{message}</Message></Error>"
        "<RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId></ErrorResponse>"
    )


@dataclass
class Cloud:
    """Clients for AWS whose answers are queued, each checked against the model of its service."""

    clients: Clients
    stubs: dict[str, Stubber]
    asked: list[tuple[str, dict[str, Any]]]

    def says(self, service: str, operation: str, answer: dict[str, Any]) -> None:
        self.stubs[service].add_response(operation, answer)

    def refuses(self, service: str, operation: str, code: str, message: str, status: int = 400) -> None:
        self.stubs[service].add_client_error(operation, code, message, http_status_code=status)

    def request(self, operation: str) -> dict[str, Any]:
        """The parameters of the only call of that operation, by its name in the API."""
        [found] = [parameters for name, parameters in self.asked if name == operation]
        return found
