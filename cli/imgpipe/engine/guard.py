"""The door of the engine: only programs on this machine may use it, never a web page.

The emulator believes whatever it is told, and a function that it is told to create runs with the developer's rights.
Binding to 127.0.0.1 does not keep a browser out: any page the developer visits can send requests there.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH_PATH = "/_imgpipe/health"
CHALLENGE_HEADER = "x-imgpipe-challenge"

_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|(?:[a-z0-9._-]+\.)?localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE)

_ASKED = (b"host", b"origin", b"sec-fetch-site", b"user-agent")
"""The headers that decide. The others of a request, a dozen of them, are not even decoded."""


def proof(token: str, challenge: str) -> str:
    """What only the engine that was given `token` can answer to `challenge`."""
    return hmac.new(token.encode(), challenge.encode(), hashlib.sha256).hexdigest()


def refusal(scope: Scope) -> str | None:
    """Why a request is refused, or None.

    A foreign Host is DNS rebinding. Origin and Sec-Fetch-Site are set by browsers alone: a page can send neither a
    request without them (a plain `<img>` has no Origin, but it has Sec-Fetch-Site) nor false ones. "none" is the
    address bar, but also a link that was clicked in a mail: a browser may look, never change anything.
    """
    values: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        if (known := name.lower()) in _ASKED:
            values.setdefault(known, []).append(value.decode("latin-1").strip())
    hosts = values.get(b"host", [])
    if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):
        return "The engine answers to localhost only: the Host header names another machine."
    if b"origin" in values:
        return "The engine does not serve web pages: the request carries an Origin."
    sites = values.get(b"sec-fetch-site", [])
    if any(site.lower() != "none" for site in sites):
        return "The engine does not serve web pages: the request was made by one."
    # Browsers of before 2023 have no Sec-Fetch-Site, but all of them go by this name.
    browser = bool(sites) or any(agent.startswith("Mozilla/") for agent in values.get(b"user-agent", []))
    if browser and not _only_looks(scope):
        return "The engine takes orders from programs: a browser may look at objects, no more."
    return None


def _only_looks(scope: Scope) -> bool:
    """Whether a request reads from AWS: in a query with an Action, even a GET may run code; `/_` is the emulator's."""
    query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    return (
        scope.get("method", "GET") in ("GET", "HEAD")
        and not scope["path"].lstrip("/").startswith("_")
        and all(name.lower() != "action" for name, _ in query)
    )


class Guard:
    """An ASGI application that lets local programs through to `app` and proves which engine it stands for.

    `requests` counts what was let through, so that an idle engine can be told from a busy one.
    """

    def __init__(self, app: App, *, token: str, about: dict[str, Any]) -> None:
        self._app = app
        self._token = token
        self._about = about
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        reason = refusal(scope)
        if scope["type"] == "websocket" and reason:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif reason:
            await _answer(send, 403, "text/plain; charset=utf-8", reason.encode() + b"\n")
        elif scope["path"] == HEALTH_PATH:
            await self._health(scope, send)
        else:
            self.requests += 1
            await self._app(scope, receive, send)

    async def _health(self, scope: Scope, send: Send) -> None:
        """Answer whoever brings a challenge, which no page can do without being stopped before."""
        challenge = next(
            (v.decode("latin-1") for k, v in scope["headers"] if k.lower() == CHALLENGE_HEADER.encode()), ""
        )
        if not challenge:
            await _answer(send, 404, "text/plain; charset=utf-8", b"Not found\n")
            return
        body = {**self._about, "proof": proof(self._token, challenge)}
        await _answer(send, 200, "application/json", json.dumps(body).encode())


async def _answer(send: Send, status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    # The connection is not kept: the body of a refused request was never read.
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
