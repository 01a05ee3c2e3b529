"""The checklist for AWS names commands, operations and options that exist."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name
from documents import DOCS, blocks, broken_links, commands, parse

from imgpipe.config import load

TEXT = (DOCS / "aws-checklist.md").read_text(encoding="utf-8")
BLOCKS = blocks(TEXT)
COMMANDS = commands(TEXT)

# Commands of the AWS CLI that are no operation of a service, and the options that are used of them.
CUSTOM = {
    ("s3", "cp"): set(),
    ("cloudformation", "deploy"): {"--template-file", "--stack-name", "--parameter-overrides", "--capabilities"},
}
GLOBAL = {"--region", "--profile", "--query", "--output"}
SERVICES = {"s3api": "s3"}


@pytest.mark.parametrize("line", [one for one in COMMANDS if one.startswith("imgpipe ")])
def test_a_command_of_imgpipe_parses(line: str) -> None:
    parse(line)


@pytest.mark.parametrize("line", [one for one in COMMANDS if one.startswith("aws ")])
def test_a_command_of_the_aws_cli_is_an_operation_with_these_parameters(line: str) -> None:
    _, service, operation, *rest = shlex.split(line)
    used = {one for one in rest if one.startswith("--")} - GLOBAL
    if (service, operation) in CUSTOM:
        assert used <= CUSTOM[service, operation]
        return
    model = botocore.session.get_session().get_service_model(SERVICES.get(service, service))
    named = {xform_name(one, "-"): one for one in model.operation_names}
    shape = model.operation_model(named[operation]).input_shape
    members = shape.members if shape else {}
    known = {f"--{xform_name(one, '-')}" for one in members}
    known |= {f"--no-{xform_name(name, '-')}" for name, one in members.items() if one.type_name == "boolean"}
    assert used <= known
    assert {f"--{xform_name(one, '-')}" for one in (shape.required_members if shape else ())} <= used


def test_nothing_else_is_typed() -> None:
    assert {line.split()[0] for line in COMMANDS} == {"imgpipe", "aws", "export", "unset"}
    assert len(COMMANDS) > 30


def test_its_configuration_is_one(tmp_path: Path) -> None:
    (tmp_path / "imgpipe.toml").write_text(BLOCKS["toml"])
    assert tomllib.loads(BLOCKS["toml"])
    config = load({"stage": "prod"}, {"HOME": str(tmp_path)}, tmp_path)
    assert (config.target, config.account, config.region) == ("aws", "123456789012", "eu-west-1")
    assert config.parameters["AlarmEmail"] == "ops@example.org"


def test_its_policies_are_json() -> None:
    assert json.loads(BLOCKS["json"])["Action"]
    assert json.loads((DOCS / "deployer-policy.json").read_text())["Version"] == "2012-10-17"


def test_its_links_lead_somewhere() -> None:
    assert broken_links(DOCS / "aws-checklist.md") == []
