"""`imgpipe template` prints what `up` deploys, to the byte, wherever it is run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cfnlint.decode import decode_str
from commandline import Finished

from imgpipe.stack.template import template_body

Run = Callable[..., Finished]


@pytest.mark.parametrize("colour", [{}, {"FORCE_COLOR": "1", "TERM": "xterm-256color"}])
def test_it_prints_the_template_to_the_byte(process: Run, colour: dict[str, str]) -> None:
    done = process("template", env=colour)
    assert (done.status, done.out, done.err) == (0, template_body(), "")


def test_it_needs_neither_a_target_nor_a_configuration_that_can_be_read(imgpipe: Run, work: Path) -> None:
    (work / "imgpipe.toml").write_text("this is no TOML")
    done = imgpipe("template", env={"IMGPIPE_TARGET": "aws", "AWS_PROFILE": "does-not-exist"})
    assert (done.status, done.out) == (0, template_body())


def test_json_tells_every_parameter_as_the_template_declares_it(imgpipe: Run) -> None:
    document = imgpipe("template", "--json").document
    assert document["template"] == template_body()
    declared = json.loads(json.dumps(decode_str(template_body())[0]))["Parameters"]
    assert document["parameters"] == {
        name: {
            "type": one["Type"],
            "default": str(one["Default"]) if "Default" in one else None,
            "description": one["Description"],
        }
        for name, one in declared.items()
    }
    assert [name for name, one in document["parameters"].items() if one["default"] is None] == ["CodeBucket", "CodeKey"]


def test_a_file_of_ones_own_is_not_overwritten_by_accident(imgpipe: Run, work: Path) -> None:
    assert imgpipe("template", "-o", "template.yaml").status == 0
    assert (work / "template.yaml").read_text() == template_body()
    assert imgpipe("template", "-o", "template.yaml").status == 0

    (work / "template.yaml").write_text("mine")
    refused = imgpipe("template", "-o", "template.yaml", "--json")
    assert (refused.status, refused.document["error"]["code"]) == (6, "file_exists")
    assert (work / "template.yaml").read_text() == "mine"
    assert imgpipe("template", "-o", "template.yaml", "--force").status == 0
    assert (work / "template.yaml").read_text() == template_body()


def test_a_file_is_replaced_whole_and_a_link_stays_one(imgpipe: Run, work: Path) -> None:
    (work / "real.yaml").write_text("mine")
    (work / "link.yaml").symlink_to("real.yaml")
    with (work / "real.yaml").open() as reader:
        assert imgpipe("template", "-o", "link.yaml", "--force").status == 0
        # Who has opened it before goes on reading what was there.
        assert reader.read() == "mine"
    assert (work / "link.yaml").is_symlink()
    assert (work / "real.yaml").read_text() == template_body()
    assert {path.name for path in work.iterdir()} == {"real.yaml", "link.yaml"}


def test_what_is_no_file_stays_what_it_is(imgpipe: Run, work: Path) -> None:
    os.mkfifo(work / "pipe")
    done = imgpipe("template", "-o", "pipe", "--force")
    assert (done.status, "pipe cannot be written: Not a regular file" in done.err) == (1, True)
    assert (work / "pipe").is_fifo()


def test_a_place_that_cannot_be_written_is_one_sentence(imgpipe: Run, work: Path) -> None:
    done = imgpipe("template", "-o", "no/such/folder/template.yaml")
    assert done.status == 1
    assert "no/such/folder/template.yaml cannot be written" in done.err
    assert imgpipe("template", "-o", str(work)).status == 1
