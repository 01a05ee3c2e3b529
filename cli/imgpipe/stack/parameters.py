"""What a configuration may set of the stack: the key in the file, the template's parameter, and what it may hold."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds; `at_most` is None where there is no upper one."""

    at_least: int
    at_most: int | None = None

    @property
    def says(self) -> str:
        if self.at_most is None:
            return f"a whole number of at least {self.at_least:,}"
        return f"a whole number from {self.at_least:,} to {self.at_most:,}"

    def holds(self, value: object) -> bool:
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return self.at_least <= value and (self.at_most is None or value <= self.at_most)


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few values, all texts or all whole numbers."""

    options: tuple[str, ...] | tuple[int, ...]

    @property
    def says(self) -> str:
        return "one of " + ", ".join(f'"{one}"' if isinstance(one, str) else str(one) for one in self.options)

    def holds(self, value: object) -> bool:
        # 1.0 and true are equal to 1, and are not what the template takes.
        return type(value) is type(self.options[0]) and value in self.options


@dataclass(frozen=True, slots=True)
class Switch:
    """true or false."""

    says: str = "true or false"

    def holds(self, value: object) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Matching:
    """A text of some shape, or an empty one for none."""

    pattern: str
    says: str

    def holds(self, value: object) -> bool:
        return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None


Kind = Whole | OneOf | Switch | Matching
Value = str | int | bool


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the template. `key` stands in the file's table `table`, `name` in the template.

    `default` is what the template does when nothing is said, as the file would write it; `prefix` is what the template
    has before the file's value.
    """

    key: str
    name: str
    default: Value
    kind: Kind
    means: str
    table: str = "parameters"
    prefix: str = ""

    @property
    def place(self) -> str:
        """`table.key`, by which messages and `imgpipe config` call it."""
        return f"{self.table}.{self.key}"

    def text(self, value: Value) -> str:
        """A value of the file as CloudFormation takes it."""
        return self.prefix + (str(value).lower() if isinstance(value, bool) else str(value))

    def value(self, text: str) -> Value:
        """The inverse of `text`."""
        bare = text.removeprefix(self.prefix)
        if isinstance(self.default, bool):
            return bare == "true"
        return int(bare) if isinstance(self.default, int) else bare


_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
_EMAIL = Matching(r"^([^@\s]+@[^@\s]+\.[^@\s]+)?$", "an e-mail address")
_POLICY = Matching(r"^(arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[A-Za-z0-9+=,.@_/-]+)?$", "the ARN of an IAM policy")
_KEY = Matching(r"^(arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$", "the ARN of a KMS key, not of an alias")

PARAMETERS: tuple[Parameter, ...] = (
    Parameter("memory", "MemorySize", 1769, Whole(1024, 10240), "MB for the function; 1769 buy one whole vCPU"),
    Parameter("concurrency", "MaximumConcurrency", 10, Whole(2, 1000), "images worked on at once"),
    Parameter(
        *("architecture", "Architecture", "x86_64", OneOf(("arm64", "x86_64"))),
        # arm64 costs a fifth less by the second, and an image takes 1.4 to 2.5 times as long.
        "the function's processor; the fast resizer has wheels for x86_64 only",
    ),
    Parameter("python", "Runtime", "3.13", OneOf(("3.12", "3.13", "3.14")), "the function's Python", prefix="python"),
    Parameter("version_days", "NoncurrentVersionDays", 30, Whole(1), "days to keep a replaced or deleted image"),
    Parameter("log_days", "LogRetentionDays", 30, OneOf(_DAYS), "days to keep the function's log"),
    Parameter("dashboard", "Dashboard", False, Switch(), "a CloudWatch dashboard, billed by the month"),
    Parameter("alarm_email", "AlarmEmail", "", _EMAIL, "where alarms are mailed to"),
    Parameter("permissions_boundary", "PermissionsBoundary", "", _POLICY, "the policy that bounds the function's role"),
    Parameter("kms_key", "KmsKeyArn", "", _KEY, "your key for buckets and table"),
    Parameter("max_bytes", "MaxBytes", 50_000_000, Whole(1, 100_000_000), "the largest file, in bytes", "limits"),
    Parameter("max_pixels", "MaxPixels", 50_000_000, Whole(1, 175_000_000), "the largest picture, in pixels", "limits"),
    Parameter("max_side", "MaxSide", 30_000, Whole(1, 65_535), "the longest side, in pixels", "limits"),
    Parameter("max_scans", "MaxScans", 100, Whole(1, 1000), "the most scans of a progressive JPEG", "limits"),
    Parameter("backlog_seconds", "BacklogSeconds", 300, Whole(60, 345_600), "how long images may wait", "alarms"),
    Parameter("failed_images", "FailedImages", 10, Whole(1), "refusals within five minutes", "alarms"),
    Parameter("retried_images", "RetriedImages", 10, Whole(1), "passing errors within five minutes", "alarms"),
)

TABLES = ("parameters", "limits", "alarms")
"""The tables of the file that hold them."""

LONGEST_RECIPE = 2500
"""Bytes of JSON that renditions and thumbnail may take: a function's whole environment has 4 KB."""


def named(name: str) -> Parameter:
    """The parameter that the template calls `name`."""
    return next(one for one in PARAMETERS if one.name == name)


def default(name: str) -> str:
    """What the template does where nothing is said, as CloudFormation takes it: "x86_64", "python3.13", "10"."""
    one = named(name)
    return one.text(one.default)
