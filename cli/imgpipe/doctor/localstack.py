"""What the target `localstack` needs: one that answers, or Docker, Compose and an image to start one from."""

from __future__ import annotations

import http.client
import json
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from imgpipe.config import Config
from imgpipe.doctor import machine
from imgpipe.doctor.findings import Check, Finding, State
from imgpipe.errors import ImgpipeError
from imgpipe.targets import compose, docker
from imgpipe.targets.localstack import DEFAULT_ENDPOINT, LocalStackTarget

_LAST_WITHOUT_TOKEN = (4, 14)
_WITHOUT_TOKEN = "env -u LOCALSTACK_IMAGE imgpipe -t localstack up"  # noqa: S105 - a command


def checks(config: Config, environ: Mapping[str, str]) -> list[Check]:
    """What to look at for a pipeline on LocalStack."""
    here = _Here(config, environ)
    return [
        Check("localstack", here.localstack),
        Check("docker", here.docker),
        Check("compose", here.compose),
        Check("image", here.image),
        Check("token", here.token),
        Check("architecture", architecture),
        *machine.bundling(),
    ]


class _Here:
    """This machine's Docker, which matters less where a LocalStack answers already."""

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = environ
        self._endpoint = (config.endpoint_url or DEFAULT_ENDPOINT).rstrip("/")
        self._answers = False
        self._docker = False

    def localstack(self) -> Iterator[Finding]:
        try:
            LocalStackTarget(self._config.endpoint_url, self._config.region).connect()
        except ImgpipeError as error:
            if error.code != "not_up":
                raise
            yield Finding("localstack", "ok", f"None runs at {self._endpoint}; imgpipe up starts one in Docker.")
            yield self._port()
            return
        self._answers = True
        info = _info(self._endpoint)
        yield Finding("localstack", "ok", f"LocalStack {info.get('version', '')} answers at {self._endpoint}.")

    def docker(self) -> Iterator[Finding]:
        try:
            docker.check()
        except ImgpipeError as error:
            yield self._lacking("docker", error)
            return
        self._docker = True
        version = docker.run(["docker", "version", "--format", "{{.Server.Version}}"]).stdout.strip()
        yield Finding("docker", "ok", f"Docker {version} answers.")

    def compose(self) -> Iterator[Finding]:
        if shutil.which("docker") is None:
            yield Finding("compose", "skip", "Compose comes with Docker, which is missing.")
            return
        try:
            command = compose.command()
        except ImgpipeError as error:
            yield self._lacking("compose", error)
            return
        version = docker.run([*command, "version", "--short"]).stdout.strip()
        yield Finding("compose", "ok", f"Docker Compose {version} is there.")

    def image(self) -> Iterator[Finding]:
        image = compose.image(self._environ)
        if not self._docker:
            yield Finding("image", "skip", f"A Docker that answers is needed to look for {image}.")
        elif docker.run(["docker", "image", "inspect", image]).returncode == 0:
            yield Finding("image", "ok", f"{image} is there.")
        else:
            yield Finding("image", "ok", f"{image} is not there yet; imgpipe up pulls it, about 1 GB.")

    def token(self) -> Iterator[Finding]:
        image = compose.image(self._environ)
        if self._environ.get("LOCALSTACK_AUTH_TOKEN"):
            yield Finding("token", "ok", "LOCALSTACK_AUTH_TOKEN is set.")
        elif not needs_token(image):
            yield Finding("token", "ok", f"{image} needs none.")
        else:
            said = f"{image} needs a token, and LOCALSTACK_AUTH_TOKEN is not set."
            fix = f"LOCALSTACK_AUTH_TOKEN=TOKEN imgpipe -t localstack up; without an account: {_WITHOUT_TOKEN}"
            yield Finding("token", self._severity, said, fix)

    @property
    def _severity(self) -> State:
        """Nothing that starts a LocalStack is needed where one answers already."""
        return "warn" if self._answers else "fail"

    def _lacking(self, name: str, error: ImgpipeError) -> Finding:
        return Finding(name, self._severity, error.message, error.hint)

    def _port(self) -> Finding:
        port = urlsplit(self._endpoint).port or 80
        if machine.bindable(port):
            return Finding("port", "ok", f"Port {port} on 127.0.0.1 is free.")
        said = f"Port {port} on 127.0.0.1 is taken, and not by a LocalStack that answers."
        other = f"imgpipe -t localstack --endpoint-url http://127.0.0.1:{port + 1} up"
        return Finding("port", "fail", said, f"lsof -i :{port} names who has it; another port: {other}")


def needs_token(image: str) -> bool:
    """Whether an image of LocalStack starts only with a token: all after 4.14, and every paid one.

    What is not called localstack is somebody's own, and not judged.
    """
    name, _, tag = image.rpartition("/")[2].partition("@")[0].partition(":")
    if name == "localstack-pro":
        return True
    if name != "localstack" or tag.startswith("community"):
        return False
    numbers = re.match(r"v?(\d+)(?:\.(\d+))?", tag)
    # `latest`, `stable`, and a digest alone: today's.
    return numbers is None or (int(numbers[1]), int(numbers[2] or 0)) > _LAST_WITHOUT_TOKEN


def architecture() -> Iterator[Finding]:
    """What the function is built for: it runs in a container, or a process, of this machine."""
    found = platform.machine()
    if found.lower() in ("x86_64", "amd64", "arm64", "aarch64"):
        yield Finding("architecture", "ok", f"The function is built for this machine, {found}.")
    else:
        said = f"Lambda runs on x86_64 and arm64, and this machine is {found}."
        yield Finding("architecture", "fail", said, "imgpipe -t local up, or -t aws")


def _info(endpoint: str) -> dict[str, Any]:
    """What LocalStack says about itself; empty where it does not."""
    at = urlsplit(endpoint)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=5)
    try:
        connection.request("GET", "/_localstack/info")
        said = json.loads(connection.getresponse().read(100_000))
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    finally:
        connection.close()
    return said if isinstance(said, dict) else {}
