"""What a hint says to type reaches the pipeline that the failed command was about."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import imgpipe as package
from imgpipe.hints import reaching, typed

from .conftest import Run


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("imgpipe up", "imgpipe --stage eu --region eu-west-1 up"),
        (
            "imgpipe status, then imgpipe up",
            "imgpipe --stage eu --region eu-west-1 status, then imgpipe --stage eu --region eu-west-1 up",
        ),
        ("imgpipe --stage other down", "imgpipe --region eu-west-1 --stage other down"),
        ("IMGPIPE_PORT=<another> imgpipe up", "IMGPIPE_PORT=<another> imgpipe --stage eu --region eu-west-1 up"),
        ("mend imgpipe.toml", "mend imgpipe.toml"),
        ("imgpipe upholds nothing", "imgpipe upholds nothing"),
        ("aws configure", "aws configure"),
    ],
)
def test_flags_go_into_each_command_that_lacks_them(hint: str, expected: str) -> None:
    assert reaching({"stage": "eu", "region": "eu-west-1"}, hint) == expected


def test_a_value_is_quoted_for_the_shell() -> None:
    assert reaching({"profile": "my team"}, "imgpipe up") == "imgpipe --profile 'my team' up"


@pytest.mark.parametrize(
    ("keys", "as_typed"),
    [
        (("a.jpg",), "a.jpg"),
        (("a b.jpg",), "'a b.jpg'"),
        (("-a",), "-- -a"),
        (("-a b",), "-- '-a b'"),
        (("a", "-b c"), "-- a '-b c'"),
    ],
)
def test_a_key_in_a_hint_can_be_pasted(keys: tuple[str, ...], as_typed: str) -> None:
    assert typed(*keys) == as_typed


def test_a_failure_repeats_the_flags_that_were_given_and_no_others(imgpipe: Run) -> None:
    def hint(*arguments: str, **env: str) -> str:
        return str(imgpipe(*arguments, "ls", "--json", env=env).document["error"]["hint"])

    assert hint() == "imgpipe up"
    assert hint("--stage", "dev", "--region", "us-east-1") == "imgpipe up"
    assert hint("--region", "eu-west-1") == "imgpipe --region eu-west-1 up"
    assert hint("--stage", "dev", IMGPIPE_STAGE="prod") == "imgpipe --stage dev up"


def test_a_bad_stage_is_not_suggested_again(imgpipe: Run) -> None:
    error = imgpipe("--stage", "Prod!", "up", "--json").document["error"]
    assert "Prod!" not in error["hint"]
    assert "--stage dev" not in error["hint"]


def test_what_a_hint_leaves_to_fill_in_is_a_word_that_a_shell_takes() -> None:
    sources = list(Path(package.__file__).parent.rglob("*.py"))
    assert len(sources) > 80
    for path in sources:
        texts = [one.value for one in ast.walk(ast.parse(path.read_text())) if isinstance(one, ast.Constant)]
        said = [text for text in texts if isinstance(text, str) and "\n" not in text]
        assert [text for text in said if re.search(r"(imgpipe |=|--[a-z-]+ |:)<\w", text)] == [], path
