"""`imgpipe config` shows what holds and why, and contacts nothing; `config init` writes what can be uncommented."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import clean_environment

from imgpipe.config import load
from imgpipe.stack.parameters import PARAMETERS
from imgpipe.starter import starter

from .conftest import Run

AWS = ("-t", "aws", "--region", "eu-west-1")


@pytest.mark.parametrize("target", ["local", "localstack", "aws"])
def test_it_shows_every_parameter_and_contacts_nothing(imgpipe: Run, target: str) -> None:
    # Not even the addresses that a connection would be made to: nothing listens, and nobody says so.
    done = imgpipe("-t", target, "--region", "eu-west-1", "config", "--json")
    assert done.status == 0
    assert done.document["file"] is None
    values = done.document["values"]
    assert {one.place for one in PARAMETERS} < values.keys()
    assert values["target"] == {"value": target, "from": "--target"}
    assert values["parameters.memory"] == {"value": 1769, "from": "default"}
    assert values["thumbnail"]["value"] == {"box": 64, "fit": "cover", "min_side": 1024}


def test_what_an_emulator_does_otherwise_comes_from_the_target(imgpipe: Run, work: Path) -> None:
    text = '[parameters]\nalarm_email = "ops@example.org"\nconcurrency = 10\n'
    (work / "imgpipe.toml").write_text(text)
    values = imgpipe("config", "--json").document["values"]
    assert values["parameters.alarm_email"] == {"value": "", "from": "local"}
    assert values["parameters.concurrency"] == {"value": 10, "from": f"{work / 'imgpipe.toml'}, line 3"}
    (work / "imgpipe.toml").unlink()
    assert imgpipe("config", "--json").document["values"]["parameters.concurrency"] == {"value": 2, "from": "local"}
    on_aws = imgpipe(*AWS, "config", "--json").document["values"]
    assert on_aws["parameters.concurrency"] == {"value": 10, "from": "default"}


def test_only_what_matters_on_the_target_is_shown(imgpipe: Run) -> None:
    ambient = {"AWS_PROFILE": "prod"}
    local = imgpipe("config", "--json", env=ambient).document["values"]
    assert {"home", "port"} < local.keys()
    assert not {"profile", "account", "endpoint_url"} & local.keys()
    aws = imgpipe(*AWS, "config", "--json", env=ambient).document["values"]
    assert aws["profile"] == {"value": "prod", "from": "AWS_PROFILE"}
    assert aws["account"] == {"value": None, "from": "default"}
    there = imgpipe("-t", "localstack", "config", "--json").document["values"]["endpoint_url"]
    assert there == {"value": "http://127.0.0.1:4566", "from": "default"}


def test_pictures_and_tags_are_shown_as_the_file_writes_them(imgpipe: Run, work: Path) -> None:
    (work / "imgpipe.toml").write_text(
        'renditions = [{ box = 2048, format = "webp" }]\nthumbnail = false\n[tags]\nteam = "media"'
    )
    done = imgpipe("config")
    lines = [line.split("\t") for line in done.out.splitlines()]
    where = f"{work / 'imgpipe.toml'}, line"
    assert ["renditions", f"{where} 1", '[{ box = 2048, format = "webp" }]'] in lines
    assert ["thumbnail", f"{where} 2", "false"] in lines
    assert ["tags.team", f"{where} 4", '"media"'] in lines


def test_on_a_terminal_the_file_is_named_from_here(imgpipe: Run, work: Path) -> None:
    (work / "imgpipe.toml").write_text('\nregion = "eu-west-1"')
    drawn = imgpipe("config", env={"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "80"}).out
    assert re.search(r"region .*imgpipe\.toml, line 2.*eu-west-1", drawn)
    assert str(work) not in drawn.partition("renditions")[0].replace(str(work.parent / "home"), "")


def test_a_mistake_in_the_file_is_named(imgpipe: Run, work: Path) -> None:
    (work / "imgpipe.toml").write_text("[parameters]\nmemory = 1")
    done = imgpipe("config", "--json")
    assert (done.status, done.document["error"]["code"]) == (2, "config")
    assert "line 2: memory cannot be 1" in done.document["error"]["message"]


def test_init_writes_a_file_that_changes_nothing(imgpipe: Run, work: Path) -> None:
    before = imgpipe("config", "--json").document["values"]
    assert json.loads(imgpipe("config", "init", "--json").out) == {"file": str(work / "imgpipe.toml")}
    after = imgpipe("config", "--json").document
    assert after == {"file": str(work / "imgpipe.toml"), "values": before}


def test_init_refuses_to_replace_a_file_unless_told_to(imgpipe: Run, work: Path) -> None:
    (work / "imgpipe.toml").write_text("not TOML")
    refused = imgpipe("config", "init", "--json")
    assert (refused.status, refused.document["error"]["code"]) == (6, "file_exists")
    assert refused.document["error"]["hint"] == "imgpipe config init --force"
    assert (work / "imgpipe.toml").read_text() == "not TOML"
    assert imgpipe("config", "init", "--force").status == 0
    assert (work / "imgpipe.toml").read_text() == starter()


def test_init_does_not_hide_the_table_of_a_project(imgpipe: Run, work: Path) -> None:
    (work / "pyproject.toml").write_text("[tool.imgpipe]")
    assert imgpipe("config", "init").status == 6
    (work / "pyproject.toml").write_text("[project]\nname = 'imgpipe'")
    assert imgpipe("config", "init").status == 0


def test_force_without_init_is_wrong_use(imgpipe: Run) -> None:
    assert imgpipe("config", "--force").status == 2
    assert imgpipe("config", "show").status == 2


def test_every_line_of_the_starter_can_be_uncommented_and_says_the_defaults(tmp_path: Path) -> None:
    # What can be uncommented has no space after its "#".
    uncommented = re.sub(r"^#(?! )", "", starter(), flags=re.MULTILINE)
    (tmp_path / "imgpipe.toml").write_text(re.sub(r"^#(    |\])", r"\1", uncommented, flags=re.MULTILINE))
    config = load({}, {}, tmp_path)
    assert (config.target, config.stage, config.region) == ("local", "dev", "us-east-1")
    said = {name: text for name, text in config.parameters.items() if name not in ("Renditions", "Formats")}
    assert said == {one.name: one.text(one.default) for one in PARAMETERS}
    from image_pipeline.settings import Recipe, recipe_from_environment

    told = {f"IMGPIPE_{name.upper()}": config.parameters[name] for name in ("Renditions", "Formats")}
    assert recipe_from_environment(told) == Recipe()
    assert load({"stage": "prod"}, {}, tmp_path).account == "123456789012"


def test_it_starts_without_anything_heavy(tmp_path: Path) -> None:
    program = "import sys\nfrom imgpipe import app\napp.run(['config'])\nprint(*sorted(sys.modules))"
    environment = clean_environment(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
    )
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & {"boto3", "botocore", "PIL", "pydantic", "rich", "ministack"}
