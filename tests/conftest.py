"""Fixtures that every test may use: one real engine for the whole run, and clients for it."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator

import pytest

from imgpipe.aws import Clients
from imgpipe.targets.base import Connection
from imgpipe.targets.local import LocalTarget

pytest_plugins = ["contract.summary"]

_told_to_end = False


def pytest_configure() -> None:
    """A run that is told to end takes its engines along, as one that is interrupted does."""

    def end(*_: object) -> None:
        global _told_to_end
        _told_to_end = True
        _end()

    signal.signal(signal.SIGTERM, end)
    # A run in the background of a script ignores Ctrl-C, and so would the commands that tests send it to.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup() -> None:
    """A command line that ran in this process may have taken the end for an error of its own."""
    if _told_to_end:
        _end()


def _end() -> None:
    pytest.exit("terminated", returncode=143)


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """The connection of a running engine with state of its own, gone when the run ends."""
    target = LocalTarget("test", tmp_path_factory.mktemp("engine"), free_port(), "us-east-1")
    try:
        yield target.start(lambda _: None)
    finally:
        target.destroy()


@pytest.fixture(scope="session")
def clients(engine: Connection) -> Clients:
    """boto3 clients of that engine."""
    return Clients(engine)
