"""`imgpipe env`: the exports that point other tools at the pipeline."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import typer

from imgpipe.commands.base import Invocation

if TYPE_CHECKING:
    from imgpipe.stack.names import StackOutputs
    from imgpipe.targets.base import Connection

EXAMPLES = """
eval "$(imgpipe env)" && aws s3 ls
aws s3 cp photo.jpg "s3://$IMGPIPE_INPUT_BUCKET/"
imgpipe env --json
"""

# What a shell may have exported for AWS, and what must not mix with the keys of an emulator.
_AMBIENT = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def env(ctx: typer.Context) -> None:
    """Print the exports that point the AWS CLI, boto3 or Terraform at the pipeline.

    For bash, zsh and sh: eval "$(imgpipe env)". --json is an object of names and values; null means to unset.
    """
    invocation = Invocation.of(ctx)
    clients, names = invocation.open()
    variables = _variables(clients.connection, names)
    if invocation.console.json:
        invocation.console.emit(variables)
        return
    for name, value in variables.items():
        invocation.console.line(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")


def _variables(connection: Connection, names: StackOutputs) -> dict[str, str | None]:
    found: dict[str, str | None] = {"AWS_REGION": connection.region, "AWS_DEFAULT_REGION": connection.region}
    if connection.endpoint_url is not None:
        found |= {
            "AWS_ENDPOINT_URL": connection.endpoint_url,
            "AWS_ACCESS_KEY_ID": connection.access_key_id,
            "AWS_SECRET_ACCESS_KEY": connection.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            **dict.fromkeys(_AMBIENT),
        }
    else:
        # What the same command for an emulator has left in this shell.
        found |= dict.fromkeys(("AWS_ENDPOINT_URL", "AWS_EC2_METADATA_DISABLED"))
        if connection.profile is not None:  # keys in the environment would come before it
            found |= {**dict.fromkeys(_KEYS), "AWS_PROFILE": connection.profile}
    return found | {
        "IMGPIPE_INPUT_BUCKET": names.input_bucket,
        "IMGPIPE_RESIZED_BUCKET": names.resized_bucket,
        "IMGPIPE_THUMBNAILS_BUCKET": names.thumbnails_bucket,
        "IMGPIPE_TABLE": names.table,
        "IMGPIPE_FUNCTION": names.function,
        "IMGPIPE_QUEUE_URL": names.jobs_queue_url,
        "IMGPIPE_DEAD_LETTER_QUEUE_URL": names.dead_letter_queue_url,
        "IMGPIPE_LOG_GROUP": names.log_group,
    }
