"""Fixtures that every test may use: one real engine for the whole run, and clients for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from imgpipe.aws import Clients
from imgpipe.targets.base import Connection


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """The connection of a running engine with state of its own, gone when the run ends."""
    home: Path = tmp_path_factory.mktemp("engine")
    port = free_port()
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(home / "s3"),
        "STATE_DIR": str(home / "state"),
        "TMPDIR": str(home),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent.sock",
        "MINISTACK_ACCOUNT_ID": "000000000000",
        "MINISTACK_REGION": "us-east-1",
    }
    with (home / "log").open("wb") as log:
        child = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(url + "/_ministack/health", timeout=1)  # noqa: S310
                break
            except OSError:
                assert child.poll() is None and time.monotonic() < deadline, (home / "log").read_text()
                time.sleep(0.05)
        yield Connection(
            target="local", region="us-east-1", endpoint_url=url, access_key_id="test", secret_access_key="test"
        )
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()


@pytest.fixture(scope="session")
def clients(engine: Connection) -> Clients:
    """boto3 clients of that engine."""
    return Clients(engine)
