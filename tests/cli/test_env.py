"""What `imgpipe env` exports for AWS itself; for the emulators, tests/cli/test_commands.py evaluates it in a shell."""

from __future__ import annotations

from imgpipe.commands.env import _variables
from imgpipe.stack.names import StackOutputs
from imgpipe.targets.base import Connection

NAMES = StackOutputs(**dict.fromkeys(StackOutputs.__slots__, "name"))  # type: ignore[arg-type]


def test_aws_takes_back_what_an_emulator_left_in_the_shell() -> None:
    found = _variables(Connection("aws", "eu-west-1"), NAMES)
    assert found["AWS_REGION"] == "eu-west-1"
    assert {name for name, value in found.items() if value is None} == {"AWS_ENDPOINT_URL", "AWS_EC2_METADATA_DISABLED"}
    assert "AWS_ACCESS_KEY_ID" not in found


def test_a_profile_comes_before_keys_in_the_environment() -> None:
    found = _variables(Connection("aws", "eu-west-1", profile="prod"), NAMES)
    assert found["AWS_PROFILE"] == "prod"
    assert found["AWS_ACCESS_KEY_ID"] is found["AWS_SECRET_ACCESS_KEY"] is found["AWS_SESSION_TOKEN"] is None
