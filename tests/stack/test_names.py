"""Names follow from the stage, and a stage that would make bad names is refused."""

from __future__ import annotations

from dataclasses import fields

import pytest

from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.stack.names import Names, StackOutputs, stack_name, validate_stage


@pytest.mark.parametrize("stage", ["dev", "prod", "a1", "pr-1234", "abcdefghijkl"])
def test_a_stage_of_lower_case_letters_digits_and_hyphens_is_accepted(stage: str) -> None:
    assert stack_name(stage) == f"imgpipe-{stage}"


@pytest.mark.parametrize(
    "stage", ["", "a", "Dev", "1st", "dev-", "-dev", "a_b", "abcdefghijklm", "dev\n", "dév", "a b"]
)
def test_any_other_stage_is_a_usage_error(stage: str) -> None:
    with pytest.raises(ImgpipeError) as refusal:
        validate_stage(stage)
    assert refusal.value.status is ExitStatus.USAGE
    assert repr(stage) in refusal.value.message


def test_the_longest_names_fit_into_what_aws_allows() -> None:
    names = Names.of("abcdefghijkl", "123456789012", "ap-southeast-1")
    assert max(len(bucket) for bucket in (*names.buckets, names.artifact_bucket)) <= 63
    assert len(names.function) <= 64


def test_every_output_is_needed_before_there_are_outputs() -> None:
    described = [
        {"OutputKey": one.name.title().replace("_", ""), "OutputValue": one.name} for one in fields(StackOutputs)
    ]
    found = StackOutputs.of(described)
    assert found is not None
    assert found.dead_letter_queue_url == "dead_letter_queue_url"
    assert StackOutputs.of(described[1:]) is None
