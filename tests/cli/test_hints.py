"""What a hint says to type reaches the pipeline that the failed command was about."""

from __future__ import annotations

import pytest

from imgpipe.hints import reaching

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
