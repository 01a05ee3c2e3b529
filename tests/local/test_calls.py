"""How often `up` asks AWS: each call is a round trip, on AWS a tenth of a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient

from .conftest import Pipeline, free_port


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that clients of this process make, in order."""
    made: list[str] = []
    call = BaseClient._make_api_call

    def noting(client: Any, operation: str, request: dict[str, Any]) -> Any:
        made.append(operation)
        return call(client, operation, request)

    monkeypatch.setattr(BaseClient, "_make_api_call", noting)
    return made


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Pipeline]:
    """A stage of its own, not up yet."""
    pipeline = Pipeline(tmp_path, free_port())
    try:
        yield pipeline
    finally:
        pipeline.target.destroy()


def test_a_first_up_and_one_that_changes_nothing_ask_no_more_than_they_must(alone: Pipeline, calls: list[str]) -> None:
    assert alone.imgpipe("up").status == 0
    assert len(calls) <= 20, calls
    assert calls.count("CreateChangeSet") == calls.count("ExecuteChangeSet") == 1

    calls.clear()
    assert alone.imgpipe("up").status == 0
    assert calls == [
        "DescribeStacks",
        "GetCallerIdentity",
        "DescribeStacks",
        "CreateChangeSet",
        "DescribeChangeSet",
        "DeleteChangeSet",
        "DescribeStacks",
    ]
