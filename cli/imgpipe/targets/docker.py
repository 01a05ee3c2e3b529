"""Docker, as a program that is asked questions: whether it can be used, which containers there are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from imgpipe.errors import ExitStatus, ImgpipeError

ELSEWHERE = "or use one that runs already: imgpipe -t localstack --endpoint-url http://127.0.0.1:PORT up"
"""The way around Docker, for the end of a hint."""

_QUICK = 60.0  # seconds for an answer; a daemon that starts or pulls is slow
_LAST_LINES = 30
_STARTS = {"darwin": "open -a Docker", "linux": "sudo systemctl start docker"}


def check() -> None:
    """Raise ImgpipeError (exit 4) unless there is a Docker that this user may talk to."""
    if shutil.which("docker") is None:
        raise unusable(
            "docker_missing",
            "LocalStack runs in Docker, and there is no `docker` on the PATH.",
            f"install it, https://docs.docker.com/engine/install, {ELSEWHERE}",
        )
    asked = run(["docker", "version", "--format", "{{.Server.Version}}"])
    if asked.returncode == 0:
        return
    if "permission denied" in asked.stderr.lower():
        hint = f"sudo usermod -aG docker $USER, and log in again, {ELSEWHERE}"
        raise unusable("docker_denied", "This user may not talk to the Docker daemon.", hint)
    hint = f"{_STARTS.get(sys.platform, 'start Docker')}, {ELSEWHERE}"
    raise unusable("docker_down", f"Docker does not answer: {last_line(asked.stderr)}", hint)


def run(command: Sequence[str], seconds: float = _QUICK) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; one that takes longer than `seconds` is ended, and counts as failed."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer within {seconds:.0f} s")


def containers(*filters: str) -> list[str]:
    """The ids of containers that fit every filter, ended ones as well."""
    given = [part for one in filters for part in ("--filter", one)]
    return run(["docker", "ps", "--all", "--quiet", *given]).stdout.split()


def inspect(container: str) -> dict[str, Any]:
    """What Docker knows of a container; empty where it is gone."""
    asked = run(["docker", "container", "inspect", container])
    found: list[dict[str, Any]] = json.loads(asked.stdout) if asked.returncode == 0 else []
    return found[0] if found else {}


def logs(container: str) -> str:
    """The last lines of both streams."""
    said = run(["docker", "logs", "--tail", str(_LAST_LINES), container])
    return said.stdout + said.stderr


def remove(ids: Sequence[str]) -> None:
    """End and remove containers."""
    if ids:
        run(["docker", "rm", "--force", "--volumes", *ids])


def last_line(said: str) -> str:
    """The last line with anything on it, which is where programs say what went wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it did not say why"


def unusable(code: str, message: str, hint: str) -> ImgpipeError:
    """LocalStack cannot be reached, for a reason of this machine's."""
    return ImgpipeError(code, message, hint, ExitStatus.UNREACHABLE)
