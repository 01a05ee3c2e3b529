"""Programs on this machine are let in, web pages are not."""

from __future__ import annotations

import http.client
import json
import socket
from urllib.parse import urlsplit

import pytest

from imgpipe.aws import Clients
from imgpipe.engine.guard import CHALLENGE_HEADER, HEALTH_PATH, refusal
from imgpipe.targets.base import Connection


def ask(engine: Connection, method: str = "GET", path: str = "/", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(str(engine.endpoint_url)).port or 0, timeout=10)
    body = b"Action=ListQueues&Version=2012-11-05" if method == "POST" else None
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:4580"},
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example:4580"},
        {"Host": "evil-localhost"},
        {"Host": "localhost@evil.example"},
        {"Host": "192.168.1.7:4580"},
        {"Host": ""},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "same-origin"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
def test_what_a_web_page_can_send_is_refused(engine: Connection, method: str, headers: dict[str, str]) -> None:
    answer = ask(engine, method, "/?Action=ListQueues", **headers)
    assert answer.status == 403
    assert not any(name.lower().startswith("access-control") for name, _ in answer.getheaders())


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST:1", "[::1]:4580", "bucket.s3.localhost:4580", "localhost"])
def test_every_name_of_this_machine_is_let_in(host: str) -> None:
    assert refusal({"path": "/", "headers": [(b"host", host.encode())]}) is None


FROM_OUTSIDE = {"Sec_Fetch_Site": "none", "User_Agent": "Mozilla/5.0 (X11; Linux x86_64)"}
OLD_BROWSER = {"User_Agent": "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Version/16.3 Safari/605.1.15"}


@pytest.mark.parametrize("browser", [FROM_OUTSIDE, OLD_BROWSER], ids=["the address bar", "an old browser"])
def test_a_browser_may_look_at_an_object(engine: Connection, clients: Clients, browser: dict[str, str]) -> None:
    clients["s3"].create_bucket(Bucket="looked-at")
    clients["s3"].put_object(Bucket="looked-at", Key="a/b c.txt", Body=b"seen")
    url = clients["s3"].generate_presigned_url("get_object", {"Bucket": "looked-at", "Key": "a/b c.txt"})
    where = urlsplit(url)
    answer = ask(engine, path=f"{where.path}?{where.query}", **browser)
    assert (answer.status, answer.read()) == (200, b"seen")


@pytest.mark.parametrize("browser", [FROM_OUTSIDE, OLD_BROWSER], ids=["a link in a mail", "an old browser"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/?Action=CreateQueue&QueueName=planted&Version=2012-11-05"),
        ("GET", "/anything?a=1&%41ction=CreateQueue&QueueName=planted"),
        ("GET", "/?+=&Action=CreateQueue&Action=&QueueName=planted"),
        ("HEAD", "/?Action=CreateQueue&QueueName=planted"),
        ("POST", "/"),
        ("PUT", "/planted"),
        ("DELETE", "/looked-at/a"),
        ("GET", "/_ministack/sqs/messages"),
        ("GET", "//_ministack/sqs/messages"),
        ("GET", "/%5Fministack/sqs/messages"),
    ],
)
def test_a_link_that_a_browser_follows_changes_nothing(
    engine: Connection, clients: Clients, browser: dict[str, str], method: str, path: str
) -> None:
    """From a mail or a chat a link arrives as if it were typed, and CreateStack in it would run code."""
    assert ask(engine, method, path, **browser).status == 403
    assert not clients["sqs"].list_queues(QueueNamePrefix="planted").get("QueueUrls")


def test_two_hosts_or_none_are_refused() -> None:
    assert refusal({"path": "/", "headers": [(b"host", b"localhost"), (b"host", b"evil.example")]})
    assert refusal({"path": "/", "headers": []})


def test_boto3_is_let_in(clients: Clients) -> None:
    assert clients["sts"].get_caller_identity()["Account"] == "000000000000"


def test_a_refused_upload_leaves_nothing(engine: Connection, clients: Clients) -> None:
    clients["s3"].create_bucket(Bucket="guarded")
    assert ask(engine, "PUT", "/guarded/planted", Origin="https://evil.example").status == 403
    assert clients["s3"].list_objects_v2(Bucket="guarded")["KeyCount"] == 0


def test_a_page_cannot_open_a_websocket(engine: Connection) -> None:
    port = urlsplit(str(engine.endpoint_url)).port
    handshake = (
        f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Origin: https://evil.example\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(handshake.encode())
        assert connection.recv(1000).split()[1] == b"403"


def test_health_proves_itself_only_to_who_asks_with_a_challenge(engine: Connection) -> None:
    answer = ask(engine, path=HEALTH_PATH, **{CHALLENGE_HEADER: "1"})
    told = json.loads(answer.read())
    assert set(told) == {"pid", "stage", "proof"}
    assert json.loads(ask(engine, path=HEALTH_PATH, **{CHALLENGE_HEADER: "2"}).read())["proof"] != told["proof"]
    assert ask(engine, path=HEALTH_PATH).status == 404
    assert ask(engine, path=HEALTH_PATH, Origin="https://evil.example", **{CHALLENGE_HEADER: "1"}).status == 403
