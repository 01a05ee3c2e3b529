"""A plan as people see it: what happens to each resource, and red where data is at stake."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from imgpipe.commands import planned
from imgpipe.console import Console
from imgpipe.stack.bundle import Bundle
from imgpipe.stack.names import Identity
from imgpipe.stack.plan import Change, ParameterChange, Plan
from imgpipe.targets.base import Connection

RED = "\x1b[31m"
CHANGES = (
    Change("Add", "Topic", "AWS::SNS::Topic"),
    Change("Modify", "Function", "AWS::Lambda::Function"),
    Change("Modify", "JobsQueue", "AWS::SQS::Queue", "True"),
    Change("Modify", "Table", "AWS::DynamoDB::Table", "Conditional"),
    Change("Remove", "InputBucket", "AWS::S3::Bucket"),
    Change("Import", "ResizedBucket", "AWS::S3::Bucket"),
)


@pytest.fixture
def plan() -> Plan:
    return Plan(
        stage="prod",
        owner=Identity("123456789012", "aws"),
        outcome="update",
        changes=CHANGES,
        parameters=(ParameterChange("MemorySize", "1769", "3008"), ParameterChange("Formats", "jpeg", "jpeg", True)),
        effective={},
        bundle=Bundle(b"", ""),
        change_set="arn:of:the:change:set",
    )


def drawn(plan: Plan, monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    planned.draw(Console(), plan, "eu-west-1")
    return out.getvalue().splitlines()


def test_each_change_has_its_sign_and_the_head_says_where(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    head, *lines = drawn(plan, monkeypatch)
    assert head == "Change the stage prod in the account 123456789012, eu-west-1: 6 resources"
    assert [line.split()[:2] for line in lines] == [
        ["+", "Topic"],
        ["~", "Function"],
        ["-/+", "JobsQueue"],
        ["-/+", "Table"],
        ["-", "InputBucket"],
        ["=", "ResizedBucket"],
        ["MemorySize", "1769"],
    ]
    assert lines[3].endswith("may be replaced: it holds data")
    assert lines[4].endswith("removed: it holds data")
    assert lines[6].endswith("1769 -> 3008")


def test_only_what_may_cost_data_is_red(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn(plan, monkeypatch, FORCE_COLOR="1", TERM="xterm-256color")
    red = [line for line in lines if RED in line]
    assert len(red) == 2
    assert "Table" in red[0]
    assert "InputBucket" in red[1]


def test_programs_get_the_same(plan: Plan) -> None:
    document: dict[str, Any] = planned.document(plan, Connection(target="aws", region="eu-west-1"))
    assert document.keys() == {"endpoint", "account", "region", "changes", "parameters"}
    assert document["changes"][3] == {
        "action": "Modify",
        "logical_id": "Table",
        "type": "AWS::DynamoDB::Table",
        "replacement": "Conditional",
        "holds_data": True,
    }
    assert document["parameters"][0] == {"name": "MemorySize", "old": "1769", "new": "3008", "kept": False}
