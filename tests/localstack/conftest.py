"""A Docker that says what the real one says, and a port behind which something answers, or does not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from commandline import Finished, clean_environment, in_process
from standins import FakeDocker

Run = Callable[..., Finished]


@pytest.fixture
def unused_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """The only programs that there are; none at first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return FakeDocker(folder)


@pytest.fixture
def imgpipe(tmp_path: Path) -> Run:
    """Runs `imgpipe -t localstack ARGUMENTS` in this process."""
    work = tmp_path / "work"
    work.mkdir()

    def run(*arguments: str, env: dict[str, str] | None = None) -> Finished:
        clean = {name: value for name, value in clean_environment(tmp_path).items() if "LOCALSTACK" not in name}
        return in_process("-t", "localstack", *arguments, env=clean | (env or {}), cwd=work)

    return run


Serve = Callable[..., int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answers every GET on a port of 127.0.0.1 with one status and body; returns the port."""
    servers = []

    def start(body: str, status: int = 200) -> int:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
