"""The engine's HTTP, by what clients of S3 rely on and libraries of servers differ in."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from imgpipe.aws import Clients

SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host"}


@pytest.fixture(scope="module")
def address(clients: Clients) -> tuple[str, int]:
    there = urlsplit(clients.connection.endpoint_url or "")
    clients["s3"].create_bucket(Bucket="served")
    clients["s3"].put_object(Bucket="served", Key="object", Body=b"twelve bytes", ContentType="text/plain")
    return there.hostname or "", there.port or 0


@pytest.fixture
def connection(address: tuple[str, int]) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(*address, timeout=10)
    yield connection
    connection.close()


def _talk(address: tuple[str, int], request: bytes) -> bytes:
    """All that the engine answers until it ends the connection."""
    with socket.create_connection(address, timeout=10) as there:
        there.sendall(request)
        answer = b""
        while more := there.recv(65_536):
            answer += more
        return answer


def test_one_connection_serves_many_requests(connection: http.client.HTTPConnection) -> None:
    for _ in range(3):
        connection.request("GET", "/served/object", headers=SIGNED)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"twelve bytes")


def test_head_tells_the_size_and_has_no_body(connection: http.client.HTTPConnection) -> None:
    connection.request("HEAD", "/served/object", headers=SIGNED)
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Content-Length"), answer.read()) == (200, "12", b"")
    connection.request("GET", "/served/object", headers=SIGNED)
    assert connection.getresponse().status == 200


def test_what_was_not_modified_has_no_body(connection: http.client.HTTPConnection) -> None:
    connection.request("HEAD", "/served/object", headers=SIGNED)
    first = connection.getresponse()
    first.read()
    connection.request("GET", "/served/object", headers={**SIGNED, "If-None-Match": first.getheader("ETag") or ""})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (304, b"")
    connection.request("GET", "/served/object", headers=SIGNED)
    assert connection.getresponse().status == 200


def test_an_uploader_that_asks_is_told_to_go_on(address: tuple[str, int]) -> None:
    head = "PUT /served/asked HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in SIGNED.items())
    with socket.create_connection(address, timeout=10) as there:
        there.sendall(f"{head}{lines}\r\n".encode())
        assert there.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        there.sendall(b"bytes")
        assert there.recv(65_536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_upload_without_a_length_arrives_whole(connection: http.client.HTTPConnection) -> None:
    connection.request("PUT", "/served/pieces", iter([b"one ", b"two"]), SIGNED, encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    connection.request("GET", "/served/pieces", headers=SIGNED)
    assert connection.getresponse().read() == b"one two"


def test_what_is_no_http_is_refused_and_the_connection_ended(address: tuple[str, int]) -> None:
    assert _talk(address, b"\x16\x03\x01 this is not HTTP\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_stranger_is_refused_before_a_byte_of_the_body_came(address: tuple[str, int]) -> None:
    request = b"PUT /served/evil HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000000\r\n\r\n"
    assert _talk(address, request).startswith(b"HTTP/1.1 403 ")


def test_a_web_socket_is_not_opened(address: tuple[str, int]) -> None:
    request = (
        b"GET /served/object HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert b" 101 " not in _talk(address, request).split(b"\r\n")[0]


def test_an_answer_names_no_server_and_invites_no_page(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/served/object", headers=SIGNED)
    names = {name.lower() for name, _ in connection.getresponse().getheaders()}
    assert "date" in names
    assert not {name for name in names if name == "server" or name.startswith("access-control-")}
