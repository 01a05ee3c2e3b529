"""What everything of a stage is called: names follow from stage, account and region, so they need no look-up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from imgpipe.aws import Clients
from imgpipe.errors import usage

PREFIX = "imgpipe-"
"""Every stack of ours is called this and its stage."""

_STAGE = re.compile(r"[a-z][a-z0-9-]{0,10}[a-z0-9]")


def validate_stage(stage: str) -> str:
    """The stage itself; raises a usage error for a name that would not fit into a bucket's."""
    if not _STAGE.fullmatch(stage):
        raise usage(
            f"{stage!r} is not a stage name: 2 to 12 lower-case letters, digits and hyphens, a letter first and no "
            "hyphen last.",
            "choose a name such as test-2 or eu-prod",
        )
    return stage


def stack_name(stage: str) -> str:
    """The name of the stage's stack."""
    return PREFIX + validate_stage(stage)


def table_name(stage: str) -> str:
    """The name of the stage's table."""
    return f"{stack_name(stage)}-images"


def log_group(stage: str) -> str:
    """The name of the function's log group."""
    return f"/aws/lambda/{stack_name(stage)}-process"


def artifact_bucket(account: str, region: str) -> str:
    """The bucket for code, shared by every stage of an account and region."""
    return f"{PREFIX}artifacts-{account}-{region}"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose account this is. `partition` is "aws", or another in China and for governments."""

    account: str
    partition: str


def identity(clients: Clients) -> Identity:
    """The account that the credentials belong to."""
    caller = clients["sts"].get_caller_identity()
    return Identity(caller["Account"], caller["Arn"].split(":")[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names that the template gives, for work on a stack that is half there or gone."""

    stack: str
    input_bucket: str
    resized_bucket: str
    thumbnails_bucket: str
    table: str
    function: str
    jobs_queue: str
    dead_letter_queue: str
    topic: str
    log_group: str
    artifact_bucket: str

    @classmethod
    def of(cls, stage: str, account: str, region: str) -> Names:
        """All names of a stage; raises a usage error for a bad stage name."""
        stack, place = stack_name(stage), f"{account}-{region}"
        return cls(
            stack=stack,
            input_bucket=f"{stack}-input-images-{place}",
            resized_bucket=f"{stack}-resized-images-{place}",
            thumbnails_bucket=f"{stack}-thumbnails-{place}",
            table=table_name(stage),
            function=f"{stack}-process",
            jobs_queue=f"{stack}-jobs",
            dead_letter_queue=f"{stack}-dlq",
            topic=f"{stack}-alarms",
            log_group=log_group(stage),
            artifact_bucket=artifact_bucket(account, region),
        )

    @property
    def buckets(self) -> tuple[str, str, str]:
        """The buckets that hold images."""
        return self.input_bucket, self.resized_bucket, self.thumbnails_bucket


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOutputs:
    """The outputs of the template, by the same names in snake case."""

    input_bucket: str
    resized_bucket: str
    thumbnails_bucket: str
    table: str
    function: str
    log_group: str
    jobs_queue_url: str
    dead_letter_queue_url: str
    event_source_mapping: str
    topic: str

    @classmethod
    def of(cls, described: Iterable[Mapping[str, str]]) -> StackOutputs | None:
        """From the `Outputs` of DescribeStacks; None where one is missing, as while a stack is being made."""
        values = {one["OutputKey"]: one["OutputValue"] for one in described}
        found = {one.name: values.get(one.name.title().replace("_", "")) for one in fields(cls)}
        return None if None in found.values() else cls(**{name: value for name, value in found.items() if value})

    @property
    def buckets(self) -> tuple[str, str, str]:
        """The buckets that hold images."""
        return self.input_bucket, self.resized_bucket, self.thumbnails_bucket
