"""The README says what is true."""

from __future__ import annotations

import re
from pathlib import Path

from image_pipeline.record import Refusal
from imgpipe import config
from imgpipe import help as pages
from imgpipe.errors import ExitStatus

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_its_front_page_is_the_one_that_help_prints() -> None:
    assert pages.page().strip() in README


def test_it_names_every_refusal_code_and_every_exit_status() -> None:
    for code in Refusal:
        assert f"`{code}`" in README
    for status in ExitStatus:
        assert re.search(rf"^\| {status.value} \|", README, re.MULTILINE), status


def test_every_link_into_the_project_leads_somewhere() -> None:
    root = Path(__file__).parent.parent
    links = re.findall(r"\]\((?!http|#)([^)]+)\)", README)
    assert links
    assert [link for link in links if not (root / link).exists()] == []


def test_its_configuration_is_one(tmp_path: Path) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "imgpipe.toml").write_text(example)
    laptop = config.load({}, {"IMGPIPE_HOME": str(tmp_path)}, tmp_path)
    shop = config.load({"stage": "prod"}, {"IMGPIPE_HOME": str(tmp_path)}, tmp_path)
    assert (laptop.target, laptop.parameters["MemorySize"]) == ("local", "1769")
    assert (shop.target, shop.region, shop.account) == ("aws", "eu-west-1", "123456789012")
    assert (shop.parameters["MemorySize"], shop.parameters["LogRetentionDays"]) == ("3008", "30")
