"""The document for operators speaks of every alarm there is, in commands that exist."""

from __future__ import annotations

import re
import shlex
from importlib.resources import files

import botocore.session
import pytest
from botocore import xform_name
from documents import DOCS, broken_links, commands, parse

TEXT = (DOCS / "operations.md").read_text(encoding="utf-8")
TEMPLATE = files("imgpipe.stack").joinpath("template.yaml").read_text(encoding="utf-8")
COMMANDS = commands(TEXT)
ALARMS = re.findall(r"^### `([a-z-]+)`\n(.*?)(?=^##)", TEXT, re.DOTALL | re.MULTILINE)


def test_every_alarm_of_the_template_has_a_section_and_no_other() -> None:
    assert [name for name, _ in ALARMS] == re.findall(r"AlarmName: !Sub \$\{AWS::StackName\}-([a-z-]+)", TEMPLATE)


@pytest.mark.parametrize(("name", "section"), ALARMS)
def test_an_alarm_says_what_it_means_and_what_to_type(name: str, section: str) -> None:
    assert section.lstrip().startswith("*"), f"{name} does not begin with its meaning"
    assert any(line.startswith("imgpipe ") for line in commands(section))


@pytest.mark.parametrize("line", [one for one in COMMANDS if one.startswith("imgpipe ")])
def test_a_command_of_imgpipe_parses(line: str) -> None:
    parse(line)


@pytest.mark.parametrize("line", [one for one in COMMANDS if one.startswith("aws ")])
def test_a_command_of_the_aws_cli_is_an_operation(line: str) -> None:
    _, service, operation, *rest = shlex.split(line)
    model = botocore.session.get_session().get_service_model(service)
    named = {xform_name(one, "-"): one for one in model.operation_names}
    shape = model.operation_model(named[operation]).input_shape
    members = shape.members if shape else {}
    assert {one for one in rest if one.startswith("--")} <= {f"--{xform_name(one, '-')}" for one in members}


def test_nothing_else_is_typed() -> None:
    assert {line.split()[0] for line in COMMANDS} == {"imgpipe", "aws"}
    assert len(COMMANDS) > 30


def test_every_fault_says_what_happens_and_what_to_type() -> None:
    table = TEXT.partition("| fault |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]
    assert len(rows) >= 30
    assert all(len(row) == 3 and all(row) for row in rows)


def test_its_links_lead_somewhere() -> None:
    assert broken_links(DOCS / "operations.md") == []
