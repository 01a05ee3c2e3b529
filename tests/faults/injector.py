"""Faults between the SDK and AWS: the seam where a request leaves botocore and where its answer comes back.

Everything above the seam is real (retries, parsing, checksums, error classes), and so is everything below it.
A proxy such as microburst cannot lose an answer that has no body (PutObject, DeleteObject, HeadObject), cannot let a
request arrive at a chosen moment after its client gave up, and makes every timeout take its real time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from urllib3 import HTTPResponse

REFUSALS = {
    "s3": {
        "throttle": (503, "SlowDown"),
        "500": (500, "InternalError"),
        "403": (403, "AccessDenied"),
        "404": (404, "NoSuchKey"),
    },
    "dynamodb": {
        "throttle": (400, "ProvisionedThroughputExceededException"),
        "500": (500, "InternalServerError"),
        "403": (400, "AccessDeniedException"),
        "404": (400, "ResourceNotFoundException"),
    },
    "sqs": {
        "throttle": (403, "RequestThrottled"),
        "500": (500, "InternalFailure"),
        "403": (403, "AccessDenied"),
        "404": (400, "AWS.SimpleQueueService.NonExistentQueue"),
    },
}
KINDS = (*REFUSALS["s3"], "reset", "truncated", "lost", "late", "very late")
"""What can happen to one request.

`reset`: it never arrives. `lost`: it is carried out, and the answer never arrives. `truncated`: half of the answer
does. `late`: the client gives up waiting, and the request arrives after the invocation, `very late`: after everything.
"""
ALWAYS = math.inf


@dataclass
class Fault:
    """What befalls the first `times` requests of an operation, of those whose address ends in `tail`."""

    operation: str
    kind: str
    times: float = 1
    tail: str = ""


@dataclass
class Injector:
    """Watches clients: notes every request, and does to it what the armed faults say."""

    faults: list[Fault] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    before: Callable[[int], None] | None = None
    """Called with the number of every request (from 1) before it leaves."""
    after: Callable[[int], None] | None = None
    """Called with it once the answer is there, and before botocore sees it."""
    _late: dict[str, list[Callable[[], Any]]] = field(default_factory=lambda: {"late": [], "very late": []})

    def watch(self, *clients: Any) -> None:
        """Stand between these clients and AWS."""
        for client in clients:
            client.meta.events.register("before-send", self._before_send(client))

    def clear(self) -> None:
        """Forget faults and requests."""
        self.faults, self.sent, self.before, self.after = [], [], None, None

    def land(self, kind: str) -> None:
        """Let the late requests arrive. Nobody reads their answers any more."""
        landing, self._late[kind] = self._late[kind], []
        for send in landing:
            send()

    def _before_send(self, client: Any) -> Callable[..., Any]:
        def intercept(request: Any, event_name: str, **_: Any) -> Any:
            return self._pass(client, request, event_name.rsplit(".", 1)[-1])

        return intercept

    def _pass(self, client: Any, request: Any, operation: str) -> Any:
        tail = request.url.rsplit("/", 1)[-1]
        self.sent.append(operation)
        number = len(self.sent)
        if self.before is not None:
            self.before(number)
        for fault in self.faults:
            if fault.operation == operation and tail.startswith(fault.tail) and fault.times > 0:
                fault.times -= 1
                return self._befall(client, request, operation, fault.kind)
        if self.after is None:
            return None
        answer = _send(client, request)
        self.after(number)
        return answer

    def _befall(self, client: Any, request: Any, operation: str, kind: str) -> Any:
        if kind in self._late:
            self._late[kind].append(lambda: (request.reset_stream(), _send(client, request)))
            raise ReadTimeoutError(endpoint_url=request.url)
        if kind == "reset":
            raise ConnectionClosedError(endpoint_url=request.url)
        if kind in ("lost", "truncated"):
            answer = _send(client, request)
            if kind == "truncated" and operation == "GetObject" and answer.status_code == 200:
                return _cut(answer)
            raise ConnectionClosedError(endpoint_url=request.url)
        return _refusal(client, request, operation, kind)


def _send(client: Any, request: Any) -> Any:
    return client._endpoint.http_session.send(request)


def _cut(answer: Any) -> AWSResponse:
    """The answer with all of its headers and half of its body."""
    body = answer.raw.read()
    raw = HTTPResponse(
        BytesIO(body[: len(body) // 2]),
        headers=answer.raw.headers,
        status=200,
        preload_content=False,
        request_method="GET",
    )
    return AWSResponse(answer.url, 200, answer.headers, raw)


def _refusal(client: Any, request: Any, operation: str, kind: str) -> AWSResponse:
    service = client.meta.service_model.service_name
    status, code = REFUSALS[service][kind]
    if service == "s3":
        code = "NoSuchBucket" if kind == "404" and operation in ("PutObject", "DeleteObject") else code
        text = "" if request.method == "HEAD" else f"<Error><Code>{code}</Code><Message>injected</Message></Error>"
        headers = {"Content-Type": "application/xml"}
    else:
        text = json.dumps({"__type": f"com.amazonaws#{code}", "message": "injected"})
        headers = {"Content-Type": "application/x-amz-json-1.0"}
    raw = HTTPResponse(BytesIO(text.encode()), headers=headers, status=status, preload_content=False)
    return AWSResponse(request.url, status, headers, raw)
