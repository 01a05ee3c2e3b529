"""No call leaves this machine unless the target is aws, whatever the environment says about AWS."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from commandline import Finished, clean_environment

from imgpipe.help import COMMANDS
from imgpipe.targets.local import LocalTarget

RECORDER = '''
"""Writes down what every Python process of a test talks to and starts; what is not this machine is not reached."""
import ipaddress, json, os, sys

_log = os.open(os.path.join(os.path.dirname(__file__), "seen.jsonl"), os.O_APPEND | os.O_CREAT | os.O_WRONLY)

def _note(**what):
    os.write(_log, (json.dumps({"argv": sys.orig_argv[1:5]} | what) + "\\n").encode())

def _here(host):
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

def _hook(event, args):
    if event == "subprocess.Popen":
        _note(started=os.fspath(args[0]))
        return
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    _note(host=host)
    if not _here(host):
        raise OSError(101, "Network is unreachable")

_note(host=None)
sys.addaudithook(_hook)
'''

DRIVER = """
import contextlib, io, json, sys, time
from imgpipe.app import run
time.sleep = lambda _: None  # between two attempts at an address that cannot be reached
done = []
for line in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), "utf-8")):
        done.append(run(line))
print(json.dumps(done))
"""

CONFIG = """
[default]
endpoint_url = http://192.0.2.1
credential_process = touch {ran}
[profile mine]
endpoint_url = http://192.0.2.1
credential_process = touch {ran}
region = eu-west-1
"""

# 192.0.2.0/24 is for documentation and belongs to nobody.
HOSTILE = {
    "AWS_ACCESS_KEY_ID": "AKIAAMBIENT",
    "AWS_SECRET_ACCESS_KEY": "ambient",
    "AWS_SESSION_TOKEN": "ambient",
    "AWS_PROFILE": "mine",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL": "http://192.0.2.2",
    "AWS_ENDPOINT_URL_S3": "http://192.0.2.2",
    "AWS_ENDPOINT_URL_STS": "https://sts.eu-west-1.amazonaws.com",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.3/credentials",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://192.0.2.4",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/no/such/token",
    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/somebody",
    "AWS_CSM_ENABLED": "true",
    "AWS_CSM_HOST": "192.0.2.5",
    "HTTP_PROXY": "http://192.0.2.6:3128",
    "HTTPS_PROXY": "http://192.0.2.6:3128",
    "http_proxy": "http://192.0.2.6:3128",
    "https_proxy": "http://192.0.2.6:3128",
    "ALL_PROXY": "http://192.0.2.6:3128",
    "NO_PROXY": "",
    "no_proxy": "",
}

LINES = (
    "up --json",
    "status",
    "env",
    "upload --sample",
    "ls",
    "meta sample-12mp.jpg",
    "logs",
    "metrics",
    "cost",
    "get sample-12mp.jpg --all -o pictures --force",
    "reprocess sample-12mp.jpg",
    "reconcile",
    "failures",
    "failures redrive",
    "why sample-12mp.jpg",
    "rm sample-12mp.jpg",
    "config",
    "doctor",
    "template",
    "down --yes",
)
ELSEWHERE = {"bundle"}
"""Commands that may leave: the wheels of the function come from a package index, by pip or uv."""


@dataclass
class Watched:
    """Command lines in a hostile environment, each process of theirs recorded."""

    home: Path
    environment: dict[str, str]

    @property
    def seen(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.home / "site" / "seen.jsonl").read_text().splitlines()]

    @property
    def abroad(self) -> set[object]:
        """The hosts that were asked for and are not this machine."""
        here = (None, "", "localhost", "127.0.0.1", "::1")
        return {one["host"] for one in self.seen if "host" in one and one["host"] not in here}

    @property
    def programs(self) -> set[str]:
        return {Path(str(one["started"])).name for one in self.seen if "started" in one}

    def run(self, *arguments: str) -> Finished:
        """One command line as a process of its own."""
        return self._python("-m", "imgpipe", *arguments)

    def run_all(self, *lines: str) -> list[int]:
        """Command lines one after the other in one process; their statuses."""
        done = self._python("-c", DRIVER, stdin=json.dumps([line.split() for line in lines]))
        assert done.status == 0, done
        statuses: list[int] = json.loads(done.out)
        return statuses

    def _python(self, *arguments: str, stdin: str = "") -> Finished:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, env=self.environment, cwd=self.home, check=False
        )
        return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    site, config = tmp_path / "site", tmp_path / ".aws" / "config"
    site.mkdir()
    config.parent.mkdir()
    (site / "sitecustomize.py").write_text(RECORDER)
    config.write_text(CONFIG.format(ran=tmp_path / "credential-process-ran"))
    environment = clean_environment(tmp_path) | HOSTILE | {"PYTHONPATH": str(site), "IMGPIPE_PORT": str(_free_port())}
    # Neither docker nor aws: what is on the path of the machine must not decide what this test sees.
    environment["PATH"] = str(tmp_path / "bin")
    try:
        yield Watched(tmp_path, environment)
    finally:
        LocalTarget("dev", tmp_path / "home", None, "us-east-1").destroy()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_every_command_is_watched() -> None:
    assert {line.split()[0] for line in LINES} == COMMANDS.keys() - ELSEWHERE


def test_local_stays_here_from_the_command_line_to_the_workers(watched: Watched) -> None:
    up = watched.run(*LINES[0].split())
    assert up.status == 0, up
    statuses = dict(zip(LINES[1:-1], watched.run_all(*LINES[1:-1]), strict=True))
    down = watched.run(*LINES[-1].split())
    assert down.status == 0, down
    assert {line for line, status in statuses.items() if status != 0} <= {"doctor"}, statuses

    assert watched.abroad == set()
    assert not (watched.home / "credential-process-ran").exists()
    # The recorder was there: in the command, in the engine and in the workers of the function.
    recorded = {" ".join(map(str, one["argv"])) for one in watched.seen if one.get("host") == "127.0.0.1"}
    assert any("-m imgpipe up" in one for one in recorded)
    assert any("worker.py" in one for one in recorded), recorded
    assert any("imgpipe.engine.server" in str(one["argv"]) for one in watched.seen)


def test_localstack_is_this_machine_too(watched: Watched) -> None:
    nowhere = f"-t localstack --endpoint-url http://127.0.0.1:{_free_port()}"
    statuses = dict(zip(LINES, watched.run_all(*(f"{nowhere} {line}" for line in LINES)), strict=True))
    assert statuses["up --json"] == statuses["status"] == statuses["upload --sample"] == 4
    assert watched.abroad == set()
    assert watched.programs <= {"docker"}
    assert not (watched.home / "credential-process-ran").exists()


def test_only_aws_is_looked_for_and_only_when_it_is_named(watched: Watched) -> None:
    """The counter-proof: the same recorder sees a call to AWS, which it stops."""
    for name in HOSTILE.keys() - {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}:
        del watched.environment[name]
    (watched.home / ".aws" / "config").unlink()
    assert watched.run_all("status") == [4]
    assert watched.abroad == set()
    assert watched.run_all("-t aws --region eu-west-1 status") == [4]
    assert watched.abroad == {"sts.eu-west-1.amazonaws.com"}


def test_an_emulator_is_not_taken_for_aws(watched: Watched) -> None:
    """After `eval "$(imgpipe env)"` the shell still points at the emulator, and holds keys that no AWS accepts."""
    watched.environment["AWS_ENDPOINT_URL_STS"] = "http://127.0.0.1:9"
    done = watched.run("-t", "aws", "--region", "eu-west-1", "status", "--json")
    assert (done.status, done.document["error"]["code"]) == (6, "not_aws")
    assert watched.abroad == set()
