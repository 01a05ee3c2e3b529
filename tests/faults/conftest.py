"""The function's own code on a stack of its own, with an injector between it and AWS."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from io import StringIO

import pytest
from botocore.retries.standard import ExponentialBackoff
from faults.injector import Injector
from faults.world import CONTEXT, World, stack

from imgpipe.aws import Clients


@pytest.fixture(scope="session")
def _wired(clients: Clients) -> Iterator[tuple[World, Injector]]:
    with stack(clients) as world:
        # The environment counts until the clients are made, and must not stay for the tests that come after.
        with pytest.MonkeyPatch.context() as patch:
            for name, value in world.environment.items():
                patch.setenv(name, value)
            for name in ("telemetry", "clients", "process", "handler"):
                patch.delitem(sys.modules, f"image_pipeline.{name}", raising=False)
            module = importlib.import_module("image_pipeline.handler")
            clients_of_the_function = (module._queue(), module._worker.storage._client, module._worker.catalog._client)
        module.logger.registered_handler.setStream(StringIO())
        injector = Injector()
        injector.watch(*clients_of_the_function)

        def land() -> None:
            injector.land("late")

        world.deliver = lambda event: module.handler(event, CONTEXT)
        world.between = land
        world.drain()
        yield world, injector


@pytest.fixture
def world(_wired: tuple[World, Injector], monkeypatch: pytest.MonkeyPatch) -> World:
    """The stack, its queues empty; the SDK's retries do not wait."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)
    return _wired[0]


@pytest.fixture
def injector(_wired: tuple[World, Injector]) -> Iterator[Injector]:
    """What stands between the function and AWS, idle."""
    _wired[1].clear()
    yield _wired[1]
    _wired[1].clear()
