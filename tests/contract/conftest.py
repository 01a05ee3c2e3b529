"""The stages that the contract is tried on: made when a test first asks for one, gone at the end of the run."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from contract import summary
from contract.differences import DIFFERENCES
from contract.stage import ENDPOINT, Stage, environment


def pytest_configure(config: pytest.Config) -> None:
    """Also where the run's own conftest has not registered it: in a worker, or when only this folder is asked for."""
    if not config.pluginmanager.has_plugin(summary.__name__):
        config.pluginmanager.register(summary, summary.__name__)


def targets() -> list[str]:
    """The targets that this run may use."""
    aws = os.environ.get("IMGPIPE_TEST_AWS") == "1"
    return ["local", *(["localstack"] if ENDPOINT else []), *(["aws"] if aws else [])]


def promise_of(item: Any) -> str | None:
    """The capability that a test is about."""
    marker = item.get_closest_marker("promise")
    return None if marker is None else str(marker.args[0])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each target; where a difference is listed, the promise must be seen to be broken."""
    if "target" not in metafunc.fixturenames:
        return
    known = DIFFERENCES.get(promise_of(metafunc.definition) or "", {})
    # Only what a promise itself finds wrong counts: a stage that does not come up is no proof of anything.
    broken = (AssertionError, ClientError, BotoCoreError)
    marks = {one: [pytest.mark.xfail(strict=True, raises=broken, reason=reason)] for one, reason in known.items()}
    metafunc.parametrize("target", [pytest.param(one, marks=marks.get(one, ())) for one in targets()])


def pytest_itemcollected(item: pytest.Item) -> None:
    callspec = getattr(item, "callspec", None)
    if callspec is not None and "target" in callspec.params and (capability := promise_of(item)):
        item.user_properties.append((summary.PROMISE, (callspec.params["target"], capability)))


class Stages:
    """Stages by target and purpose. Each is brought up once, and taken down with everything in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[tuple[str, str], Stage | str] = {}

    def get(self, target: str, purpose: str) -> Stage:
        """The stage, up; where it did not come up, every test that needs it fails with the reason."""
        if (target, purpose) not in self._open:
            self._open[target, purpose] = self._start(target)
        found = self._open[target, purpose]
        if isinstance(found, str):
            pytest.fail(found)
        return found

    def _start(self, target: str) -> Stage | str:
        name = f"ct{secrets.token_hex(3)}"
        folder = self._folder / name
        folder.mkdir()
        stage = Stage(target, name, folder, environment(target, self._folder))
        stage.settings()
        done = stage.up()
        if done.status == 0:
            return stage
        stage.imgpipe("down", "--yes")
        return f"`imgpipe -t {target} up` failed: {done.err or done.out}"

    def close(self) -> list[str]:
        """Take every stage down; what went wrong, in words."""
        trouble = []
        for stage in self._open.values():
            if isinstance(stage, Stage):
                done = stage.imgpipe("down", "--yes")
                if done.status:
                    trouble.append(f"{stage.target}, {stage.name}: {done.err or done.out}")
        return trouble


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    """All stages of this run."""
    found = Stages(tmp_path_factory.mktemp("contract"))
    trouble: list[str] = []
    try:
        yield found
    finally:
        trouble = found.close()
    assert trouble == []


@pytest.fixture
def stage(target: str, stages: Stages, request: pytest.FixtureRequest) -> Stage:
    """The target's stage for a promise: one for all tests that change nothing about the stack itself."""
    purpose = getattr(request.module, "STAGE", "all")
    found = stages.get(target, purpose)
    found.listed = target in DIFFERENCES.get(promise_of(request.node) or "", {})
    return found
