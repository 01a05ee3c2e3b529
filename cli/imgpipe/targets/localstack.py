"""The target `localstack`: one that runs on this machine, started in Docker where none does."""

from __future__ import annotations

import http.client
import ipaddress
import json
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imgpipe.errors import ExitStatus, ImgpipeError, not_up, usage
from imgpipe.targets.base import Connection, Progress, emulator_parameters

if TYPE_CHECKING:
    from imgpipe.stack.bundle import Bundle

DEFAULT_ENDPOINT = "http://127.0.0.1:4566"
HEALTH_PATH = "/_localstack/health"

_CONNECT_TIMEOUT = 2.0
_READ_TIMEOUT = 20.0  # a LocalStack that loads a service answers nobody meanwhile
_ARM = ("arm64", "aarch64")
_EDITION_OF_OUR_ENGINE = "light"  # ministack answers under LocalStack's path as well


class LocalStackTarget:
    """LocalStack behind an endpoint on this machine; None means port 4566.

    One that answers is used, whoever started it. What `start` starts is the Docker Compose project of imgpipe, and
    that is all that `stop` ends.
    """

    name = "localstack"

    def __init__(self, endpoint_url: str | None, region: str) -> None:
        self._endpoint = (endpoint_url or DEFAULT_ENDPOINT).rstrip("/")
        self._host, self._port = _loopback(self._endpoint)
        self._region = region

    def connect(self) -> Connection:
        """How to reach what answers; raises `not_up` where nothing does, `not_localstack` for anything else."""
        if not answers(self._host, self._port):
            raise not_up(f"No LocalStack answers at {self._endpoint}.", f"{self._self()} up")
        return Connection(
            target=self.name,
            region=self._region,
            endpoint_url=self._endpoint,
            access_key_id="test",
            secret_access_key="test",  # noqa: S106 - LocalStack asks for one and checks none
        )

    def start(self, progress: Progress) -> Connection:
        """Use what answers, else start the compose project on the endpoint's port."""
        try:
            return self.connect()
        except ImgpipeError as error:
            if error.code != "not_up":
                raise
        from imgpipe.targets import compose

        compose.start(self._port, progress)
        return self.connect()

    def stop(self) -> bool:
        """End imgpipe's own LocalStack and the containers of its functions; False where there is none.

        It keeps nothing: LocalStack has its state in memory.
        """
        from imgpipe.targets import compose

        return compose.stop()

    def destroy(self) -> None:
        """Nothing: LocalStack may hold more than this stage, and `stop` is there to be asked for."""

    def parameters(self, said: Mapping[str, str]) -> dict[str, str]:
        """An emulator's, and this machine's architecture: its containers run here."""
        here = "arm64" if platform.machine().lower() in _ARM else "x86_64"
        # It makes no dashboard, and stumbles over one in a change set.
        return {"Architecture": here, **emulator_parameters(said), "Dashboard": "false"}

    def bundle(self, parameters: Mapping[str, str], progress: Progress) -> Bundle:
        """The code with its libraries, as it goes to AWS."""
        from imgpipe.stack.bundle import lambda_bundle
        from imgpipe.stack.parameters import default

        runtime = parameters.get("Runtime") or default("Runtime")
        return lambda_bundle(parameters["Architecture"], runtime.removeprefix("python"), progress)

    def _self(self) -> str:
        at = "" if self._endpoint == DEFAULT_ENDPOINT else f" --endpoint-url {self._endpoint}"
        return f"imgpipe -t localstack{at}"


def _loopback(endpoint: str) -> tuple[str, int]:
    """Host and port of an endpoint on this machine; nothing else may be taken for LocalStack."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
        port = parts.port or 80
    except ValueError:
        here = False
    if parts.scheme != "http" or not here or parts.path:
        raise usage(
            f"LocalStack has to be on this machine, at an address such as {DEFAULT_ENDPOINT}, not {endpoint!r}.",
            f"imgpipe -t localstack --endpoint-url {DEFAULT_ENDPOINT} up",
        )
    return host, port


def answers(host: str, port: int) -> bool:
    """Whether LocalStack answers; False where nobody does, ImgpipeError `not_localstack` for anybody else."""
    # http.client, for it takes no proxy from the environment.
    connection = http.client.HTTPConnection(host, port, timeout=_CONNECT_TIMEOUT)
    try:
        connection.connect()
        connection.sock.settimeout(_READ_TIMEOUT)
        connection.request("GET", HEALTH_PATH)
        answer = connection.getresponse()
        said = json.loads(answer.read(1_000_000)) if answer.status == 200 else None
    except OSError:
        # Also of a port that Docker has published and nobody listens behind yet: it takes the connection and ends it.
        return False
    except (http.client.HTTPException, ValueError):
        said = None
    finally:
        connection.close()
    if isinstance(said, dict) and "services" in said and said.get("edition") != _EDITION_OF_OUR_ENGINE:
        return True
    raise ImgpipeError(
        "not_localstack",
        f"What listens on port {port} of {host} is not LocalStack.",
        f"lsof -i :{port} names it; another port: imgpipe -t localstack --endpoint-url http://{host}:{port + 1} up",
        ExitStatus.UNREACHABLE,
    )
