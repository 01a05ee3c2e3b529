"""The function's connections: the certificate authorities are read once, and still nobody else is trusted."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore import httpsession
from botocore.exceptions import SSLError

from image_pipeline import clients

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


class Answer(BaseHTTPRequestHandler):
    """Says yes to everything, on a connection that serves one request."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def certificate(folder: Path) -> Path:
    """A certificate for localhost and its key in one file, which vouches for itself."""
    path = folder / "one.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(path), "-out", "-"]
    made = subprocess.run(command, capture_output=True, check=True).stdout
    path.write_bytes(path.read_bytes() + made)
    return path


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path | None], Any]]:
    """Makes a client of a server with a certificate of its own; the argument is the file of authorities to trust."""
    own = certificate(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://localhost:{server.server_port}")

    def make(authorities: Path | None) -> Any:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authorities or own))
        return clients.client("s3", attempts=1)

    # What this test trusts, no other test should.
    httpsession.create_urllib3_context.cache_clear()
    yield make
    httpsession.create_urllib3_context.cache_clear()
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_authorities_are_read_once_for_all_connections_of_all_clients(
    connect: Callable[[Path | None], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    load = ssl.SSLContext.load_verify_locations

    def counted(self: ssl.SSLContext, *where: Any) -> None:
        read.append(where)
        load(self, *where)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counted, raising=False)
    for client in (connect(None), connect(None)):
        for _ in range(3):
            client.head_bucket(Bucket="bucket")
    assert len(read) == 1


def test_a_server_that_the_authorities_do_not_vouch_for_is_not_trusted(
    connect: Callable[[Path | None], Any], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(SSLError):
        connect(certificate(tmp_path / "other")).head_bucket(Bucket="bucket")
