"""The template deployed where IAM is enforced, the keys of its role, and its handler as a worker would hold it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

import pytest
from conftest import free_port
from security.enforcing import REGION, running
from security.lives import FOREIGN, ROLE_POLICY, STAGE, Lives, Place, Trusting, switch

from imgpipe.stack.bundle import source_bundle
from imgpipe.stack.deploy import deploy
from imgpipe.targets.base import Connection, emulator_parameters


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The template, deployed as it ships, its mapping switched off: the tests deliver events themselves."""
    with running(tmp_path_factory.mktemp("enforcing"), free_port(), free_port()) as emulator:
        root = Trusting(Connection("local", REGION, emulator.tls, None, "test", "test"))
        root.certificate = emulator.certificate
        stack = deploy(root, STAGE, source_bundle(), emulator_parameters({}), lambda _: None).outputs
        switch(root, stack, on=False)
        role_arn = root["lambda"].get_function_configuration(FunctionName=stack.function)["Role"]
        role = role_arn.rsplit("/", 1)[1]
        shipped = root["iam"].get_role_policy(RoleName=role, PolicyName=ROLE_POLICY)["PolicyDocument"]
        place = Place(emulator, root, stack, role, role_arn, shipped)
        root["s3"].create_bucket(Bucket=FOREIGN)
        root["dynamodb"].create_table(
            TableName=FOREIGN,
            KeySchema=[{"AttributeName": "image_key", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "image_key", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        place.drain()
        yield place


@pytest.fixture
def whole_role(place: Place) -> Iterator[None]:
    """The test leaves the role as it shipped, and the queue empty."""
    yield
    place.allow(place.shipped)
    place.drain()


@pytest.fixture(scope="module")
def keys(place: Place) -> dict[str, str]:
    """Temporary keys of the role, such as Lambda gives to its workers."""
    found = place.root["sts"].assume_role(RoleArn=place.role_arn, RoleSessionName="worker")["Credentials"]
    return {
        "aws_access_key_id": found["AccessKeyId"],
        "aws_secret_access_key": found["SecretAccessKey"],
        "aws_session_token": found["SessionToken"],
    }


@pytest.fixture(scope="module")
def as_role(place: Place, keys: dict[str, str]) -> Callable[[str], Any]:
    """Clients that sign with those keys, by boto3's name of the service."""
    return cache(lambda service: place.client(service, keys))


@pytest.fixture(scope="module")
def module(place: Place, keys: dict[str, str]) -> Iterator[ModuleType]:
    """The handler's module, imported as Lambda imports it: with the stack and the role's keys in its environment."""
    function = place.root["lambda"].get_function_configuration(FunctionName=place.stack.function)
    environment = function["Environment"]["Variables"] | {name.upper(): value for name, value in keys.items()}
    environment |= {"AWS_ENDPOINT_URL": place.emulator.tls, "AWS_CA_BUNDLE": place.emulator.certificate}
    environment |= {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        for name in ("telemetry", "clients", "process", "handler"):
            patch.delitem(sys.modules, f"image_pipeline.{name}", raising=False)
        yield importlib.import_module("image_pipeline.handler")


@pytest.fixture
def life(place: Place, module: ModuleType) -> Iterator[Lives]:
    """A new image, every call of the handler noted."""
    life = Lives(place, module)
    clients = [module._queue(), module._worker.storage._client, module._worker.catalog._client]
    for client in clients:
        client.meta.events.register("after-call", life.note)
    yield life
    for client in clients:
        client.meta.events.unregister("after-call", life.note)
