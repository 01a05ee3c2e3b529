"""AWS without AWS: no address but this machine's is ever reached, and what AWS would say is said here."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session
from botocore.stub import Stubber
from commandline import Finished, clean_environment, in_process
from faraway import KEYS, REGION, Cloud, Raw, Wire

from imgpipe.aws import Clients
from imgpipe.targets.base import Connection


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Hosts beyond this machine that somebody tried to reach, in vain; a test that means to has to clear the list."""
    tried: list[str] = []
    look_up, connect = socket.getaddrinfo, socket.socket.connect

    def resolve(host: Any, *rest: Any, **more: Any) -> Any:
        if host in ("localhost", "127.0.0.1", "::1"):
            return look_up(host, *rest, **more)
        tried.append(str(host))
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def reach(self: socket.socket, address: Any) -> Any:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            tried.append(str(address[0]))
            raise OSError(101, "Network is unreachable")
        return connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", reach)
    yield tried
    assert tried == []


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without credentials, and no others around; the home folder."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "IMGPIPE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Stands where HTTP would begin."""
    wire = Wire()

    def send(_: URLLib3Session, request: Any) -> AWSResponse:
        wire.sent.append(request)
        status, body = wire.answer(request)
        raw = Raw(body.encode())
        return AWSResponse(request.url, status, {"content-type": "text/xml"}, raw)

    monkeypatch.setattr(URLLib3Session, "send", send)
    return wire


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Finished]:
    """Runs `imgpipe ARGUMENTS` in this process and an empty folder; `env` adds to a bare environment."""

    def call(*arguments: str, env: dict[str, str] | None = None) -> Finished:
        quiet = {"AWS_EC2_METADATA_DISABLED": "true"}
        return in_process(*arguments, env=clean_environment(tmp_path) | quiet | (env or {}), cwd=tmp_path)

    return call


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """AWS in eu-west-1; every queued answer has to be asked for."""
    keys = dict(zip(("access_key_id", "secret_access_key"), KEYS.values(), strict=True))
    clients = Clients(Connection(target="aws", region=REGION, **keys))
    asked: list[tuple[str, dict[str, Any]]] = []
    with ExitStack() as stack:
        stubs = {one: stack.enter_context(Stubber(clients[one])) for one in ("sts", "cloudformation", "s3")}
        for name in stubs:
            clients[name].meta.events.register_first(
                "before-parameter-build", lambda params, model, **_: asked.append((model.name, dict(params)))
            )
        yield Cloud(clients, stubs, asked)
        for stub in stubs.values():
            stub.assert_no_pending_responses()
