"""What the tests of the stack share: a stage that nobody else uses, and code that no other stage runs."""

from __future__ import annotations

import hashlib
import io
import uuid
import zipfile
from collections.abc import Callable, Iterator

import pytest

from imgpipe.aws import Clients
from imgpipe.stack.bundle import Bundle
from imgpipe.stack.deploy import Deployment, deploy
from imgpipe.stack.names import Names, identity
from imgpipe.stack.teardown import teardown
from imgpipe.targets.base import emulator_parameters

Deploy = Callable[..., Deployment]
MakeBundle = Callable[[str], Bundle]


@pytest.fixture
def stage(clients: Clients) -> Iterator[str]:
    """A name of its own, with nothing left behind."""
    name = "t" + uuid.uuid4().hex[:9]
    yield name
    assert teardown(clients, name, lambda _: None) == ()


@pytest.fixture
def names(clients: Clients, stage: str) -> Names:
    return Names.of(stage, identity(clients).account, clients.connection.region)


@pytest.fixture
def make_bundle() -> MakeBundle:
    """A zip with a handler that does nothing, different for every text."""

    def make(text: str) -> Bundle:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("image_pipeline/__init__.py", f"# {text}\n")
            archive.writestr("image_pipeline/handler.py", "def handler(event, context):\n    return {}\n")
        return Bundle(packed.getvalue(), hashlib.sha256(packed.getvalue()).hexdigest())

    return make


@pytest.fixture
def bundle(stage: str, make_bundle: MakeBundle) -> Bundle:
    """Code that only this test's stage runs."""
    return make_bundle(stage)


@pytest.fixture
def up(clients: Clients, stage: str, bundle: Bundle) -> Deploy:
    """Deploys the stage, with parameters and other code where given."""

    def call(other: Bundle | None = None, **parameters: str) -> Deployment:
        return deploy(clients, stage, other or bundle, {**emulator_parameters({}), **parameters}, lambda _: None)

    return call
