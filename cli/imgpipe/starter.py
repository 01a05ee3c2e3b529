"""The imgpipe.toml to begin with: every key with its default, commented out, and what it may hold."""

from __future__ import annotations

from typing import Any

from imgpipe.stack.parameters import PARAMETERS, TABLES, OneOf, Parameter

# Prose has a space after its "#", and what can be uncommented has none.
_HEAD = """\
# imgpipe.toml: what this pipeline is, for `imgpipe up`. `imgpipe config` shows what holds and why.
# Every line below is a default, or an example of what has none: take away the "#" and change it.

#target = "local"  # local, localstack or aws
#stage = "dev"  # one of several pipelines
#region = "us-east-1"

# The pictures to make. fit: inside, or cover for a square crop; format: keep, jpeg, webp or avif;
# name: what `imgpipe get --rendition` calls it; min_side: only for pictures that have a side this long.
#renditions = [
#    { box = 1024 },
#    { box = 512 },
#    { box = 128 },
#]
#thumbnail = { box = 64, fit = "cover", min_side = 1024 }  # or false for none
#formats = ["jpeg", "png", "gif", "webp"]  # what to accept; also avif, tiff, bmp
"""

_TITLES = {
    "parameters": "The stack.",
    "limits": "What is refused before it is decoded.",
    "alarms": "When to raise an alarm.",
}

_TAIL = """
# Tags of the stack, which CloudFormation gives to everything in it.
#[tags]
#team = "media"

# One stage: any of the keys and tables above, for this stage only. `imgpipe --stage prod up` uses it.
#[stages.prod]
#target = "aws"
#region = "eu-west-1"
#profile = "prod"
#account = "123456789012"  # refuse to work in any other account
#
#[stages.prod.parameters]
#memory = 3008
"""


def starter() -> str:
    """The text of the file."""
    parts = [_HEAD]
    for table in TABLES:
        lines = [_line(one) for one in PARAMETERS if one.table == table]
        parts.append("\n".join([f"\n# {_TITLES[table]}", f"#[{table}]", *lines, ""]))
    return "".join((*parts, _TAIL))


def toml(value: Any) -> str:
    """A value as the file writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    if isinstance(value, str):
        from json import dumps

        return dumps(value, ensure_ascii=False)
    return f"{value:_}" if isinstance(value, int) and value >= 100_000 else str(value)


def _line(one: Parameter) -> str:
    # A long list of numbers is what the message about a wrong one is for.
    says = "" if isinstance(one.kind, OneOf) and len(one.kind.options) > 4 else f"; {one.kind.says}"
    return f"#{one.key} = {toml(one.default)}  # {one.means}{says}"
