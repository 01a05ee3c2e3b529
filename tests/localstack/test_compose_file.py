"""The compose file lets this machine alone reach LocalStack, and starts a release that needs no account."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from imgpipe.targets import compose


@pytest.fixture
def project() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(compose.compose_file().read_text())
    return read


@pytest.fixture
def service(project: dict[str, Any]) -> dict[str, Any]:
    (only,) = project["services"].values()
    found: dict[str, Any] = only
    return found


def test_it_is_the_project_that_imgpipe_ends(project: dict[str, Any]) -> None:
    assert project["name"] == compose.PROJECT
    assert list(project["services"]) == ["localstack"]


def test_the_image_is_pinned_and_can_be_another(service: dict[str, Any]) -> None:
    assert service["image"] == "${LOCALSTACK_IMAGE:-localstack/localstack:4.14.0}"
    assert compose.image({"LOCALSTACK_IMAGE": ""}) == "localstack/localstack:4.14.0"
    assert compose.image({"LOCALSTACK_IMAGE": "mine:1"}) == "mine:1"


def test_a_token_is_passed_on_only_where_there_is_one(service: dict[str, Any]) -> None:
    assert service["environment"]["LOCALSTACK_AUTH_TOKEN"] is None


def test_every_port_is_of_this_machine_alone(service: dict[str, Any]) -> None:
    assert service["ports"] == ["127.0.0.1:${LOCALSTACK_PORT:-4566}:4566"]
    assert "network_mode" not in service


def test_nothing_is_kept_over_a_restart(service: dict[str, Any]) -> None:
    assert "PERSISTENCE" not in service["environment"]


def test_functions_are_named_after_the_container(service: dict[str, Any]) -> None:
    assert service["container_name"] == service["environment"]["MAIN_CONTAINER_NAME"]


def test_it_has_the_docker_socket_and_a_volume_that_may_be_a_folder(
    project: dict[str, Any], service: dict[str, Any]
) -> None:
    assert set(service["volumes"]) == {
        "${LOCALSTACK_VOLUME_DIR:-localstack}:/var/lib/localstack",
        "/var/run/docker.sock:/var/run/docker.sock",
    }
    assert list(project["volumes"]) == ["localstack"]


def test_it_is_healthy_when_localstack_says_so(service: dict[str, Any]) -> None:
    assert service["healthcheck"]["test"][-1].endswith(":4566/_localstack/health")


def test_every_variable_has_a_default() -> None:
    used = re.findall(r"\$\{[^}]*\}", compose.compose_file().read_text())
    assert used
    assert all(":-" in one for one in used)
