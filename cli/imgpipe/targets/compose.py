"""LocalStack in Docker: the project's compose file, run with whatever Docker and Compose this machine has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.targets import docker
from imgpipe.targets.base import Progress

PROJECT = "imgpipe"
"""The Compose project, as the file names it; said for every call, because COMPOSE_PROJECT_NAME would win over that."""

_SERVICE = "localstack"
_INSIDE = "4566/tcp"
_NO_LICENCE = 55  # what LocalStack exits with where its image needs a token
_ENDING = 180.0

_LAYER = re.compile(r"^\s*([0-9a-f]{12})\s+(.+?)\s*$")
_PORT_BUSY = re.compile(r"port is already allocated|address already in use|ports are not available", re.I)
_NAME_TAKEN = re.compile(r"container name \S+ is already in use", re.I)
_NO_IMAGE = re.compile(
    r"pull access denied|repository does not exist|manifest .*(not found|unknown)|no matching manifest|unauthorized|"
    r"toomanyrequests|failed to (resolve|copy|do request|pull)|error pulling|no such host|i/o timeout|"
    r"handshake timeout|request canceled|Get \"https?://",
    re.I,
)
_NO_TOKEN = re.compile(r"license activation failed", re.I)


def start(port: int, progress: Progress) -> None:
    """Start the project on a port of 127.0.0.1 and wait until it is healthy.

    Raises ImgpipeError with the line that mends it: no Docker, no daemon, no permission, no Compose, a port or a name
    that is taken, an image that cannot be had (exit 4), one that needs a token (exit 5).
    """
    docker.check()
    compose = command()
    if (there := _container()) and there.running and there.port not in (None, port):
        raise docker.unusable(
            "other_port",
            f"imgpipe has started LocalStack already, on port {there.port}.",
            f"imgpipe -t localstack --endpoint-url http://127.0.0.1:{there.port} up, "
            "or end that one with imgpipe -t localstack down --stop",
        )
    progress("Starting LocalStack")
    status, said = _up(compose, port, progress)
    if status == 0:
        return
    failure = _failure(port, said)
    if not (there and there.running):  # what half started would be in the way of the next attempt
        _end(compose)
    raise failure


def stop() -> bool:
    """Remove the project's containers, those of its functions, its network and its volume; False where none is."""
    if shutil.which("docker") is None:
        return False
    docker.check()
    if _container() is None:
        return False
    _end(command())
    return True


def compose_file() -> Path:
    """The compose file: beside this module in an installed package, else at the root of the repository."""
    packaged = Path(__file__).with_name("docker-compose.yml")
    return packaged if packaged.is_file() else Path(__file__).parents[3] / "docker-compose.yml"


def command() -> list[str]:
    """The start of every command line of Compose, the plugin or the program of its own."""
    plugin, program = ["docker", "compose"], shutil.which("docker-compose")
    if docker.run([*plugin, "version"]).returncode == 0:
        chosen = plugin
    elif program and re.match(r"v?[2-9]", docker.run([program, "version", "--short"]).stdout):  # 1 knows no --wait
        chosen = [program]
    else:
        raise docker.unusable(
            "compose_missing",
            "Docker is here, but Docker Compose 2 is not.",
            f"install it, https://docs.docker.com/compose/install, {docker.ELSEWHERE}",
        )
    # Nothing of the folder that the command is run in decides what is started: neither a file nor an .env.
    return [*chosen, "--project-name", PROJECT, "--file", str(compose_file()), "--env-file", os.devnull]


def image(environ: Mapping[str, str]) -> str:
    """The image that is started: what LOCALSTACK_IMAGE names, else the one that the compose file pins."""
    [pinned] = re.findall(r"\$\{LOCALSTACK_IMAGE:-(\S+)\}", compose_file().read_text(encoding="utf-8"))
    return environ.get("LOCALSTACK_IMAGE") or pinned


@dataclass(frozen=True, slots=True)
class _Container:
    """The container of LocalStack itself. `port` is this machine's, None where it publishes none."""

    name: str
    running: bool
    exit_code: int
    port: int | None


def _container() -> _Container | None:
    ids = docker.containers(
        f"label=com.docker.compose.project={PROJECT}", f"label=com.docker.compose.service={_SERVICE}"
    )
    if not ids or not (found := docker.inspect(ids[0])):
        return None
    published = (found["HostConfig"].get("PortBindings") or {}).get(_INSIDE) or [{}]
    port = published[0].get("HostPort")
    state = found["State"]
    return _Container(found["Name"].lstrip("/"), state["Running"], state["ExitCode"], int(port) if port else None)


def _up(compose: list[str], port: int, progress: Progress) -> tuple[int, str]:
    """Bring the project up; the exit status and what Compose said."""
    said = []
    layers: dict[str, bool] = {}
    with subprocess.Popen(
        [*compose, "up", "--detach", "--wait"],
        env=_environment(port),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as running:
        for line in running.stdout or ():
            said.append(line)
            if layer := _LAYER.match(line):
                layers[layer[1]] = layers.get(layer[1], False) or layer[2] in ("Pull complete", "Already exists")
                progress(f"Pulling the image of LocalStack, this once: {sum(layers.values())} of {len(layers)} layers")
            elif "Start" in line:
                progress("Starting LocalStack")
    return running.returncode, "".join(said)


def _environment(port: int) -> Mapping[str, str]:
    return {**os.environ, "LOCALSTACK_PORT": str(port)}


def _failure(port: int, said: str) -> ImgpipeError:
    """Why LocalStack did not start, from what Compose said and from how its container ended."""
    last = docker.last_line(said)
    if _PORT_BUSY.search(said):
        other = f"imgpipe -t localstack --endpoint-url http://127.0.0.1:{port + 1} up"
        return docker.unusable(
            "port_busy", f"Port {port} is taken by another program.", f"lsof -i :{port} names it; another port: {other}"
        )
    if _NAME_TAKEN.search(said):
        hint = "LOCALSTACK_DOCKER_NAME=NAME imgpipe -t localstack up; docker ps --all names the one that is there"
        return docker.unusable("name_taken", last, hint)
    if there := _container():
        logs = docker.logs(there.name)
        if there.exit_code == _NO_LICENCE or _NO_TOKEN.search(logs):
            return _token_needed()
        if not there.running and there.exit_code:
            last = f"it ended with status {there.exit_code}: {docker.last_line(logs)}"
        elif there.running:
            last = f"it runs, but is not healthy: {docker.last_line(logs)}"
    elif _NO_IMAGE.search(said):
        hint = f"docker pull {image(os.environ)} shows why; LOCALSTACK_IMAGE=NAME is another; {docker.ELSEWHERE}"
        return docker.unusable("image_missing", f"The image of LocalStack cannot be pulled: {last}", hint)
    return docker.unusable(
        "localstack_failed", f"LocalStack did not start: {last}", f"docker compose --file {compose_file()} up"
    )


def _token_needed() -> ImgpipeError:
    name, given = image(os.environ), bool(os.environ.get("LOCALSTACK_AUTH_TOKEN"))
    why = "does not accept the token in LOCALSTACK_AUTH_TOKEN" if given else "needs an account's LOCALSTACK_AUTH_TOKEN"
    return ImgpipeError(
        "token_required",
        f"The image {name} {why}.",
        "LOCALSTACK_AUTH_TOKEN=TOKEN imgpipe -t localstack up, "
        "or without an account, with the image that needs none: env -u LOCALSTACK_IMAGE imgpipe -t localstack up",
        ExitStatus.CREDENTIALS,
    )


def _end(compose: list[str]) -> None:
    # First the container that starts others, then those, and then the network that they all were on.
    docker.run([*compose, "stop"], _ENDING)
    docker.remove(docker.containers(f"network={PROJECT}_default", "name=-lambda-"))
    ended = docker.run([*compose, "down", "--volumes"], _ENDING)
    if ended.returncode:
        raise docker.unusable(
            "stop_failed",
            f"The containers could not be removed: {docker.last_line(ended.stderr)}",
            f"docker compose --project-name {PROJECT} down --volumes",
        )
