"""The commands that hints name, with the flags that make them reach the same pipeline as the command that failed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from imgpipe.help import COMMANDS

FLAGS = {
    "target": "-t",
    "stage": "--stage",
    "region": "--region",
    "profile": "--profile",
    "endpoint_url": "--endpoint-url",
}
"""The options that choose a pipeline, by their names in the configuration."""

_COMMAND = re.compile(rf"\bimgpipe((?: (?:-t|--[a-z-]+) \S+)*) (?=(?:{'|'.join(COMMANDS)})\b)")


def reaching(given: Mapping[str, str], hint: str) -> str:
    """`hint` with the flags `given` put into every imgpipe command in it; a flag that one has already stays as it is.

    "imgpipe status, then imgpipe up" becomes "imgpipe --stage eu status, then imgpipe --stage eu up".
    """

    def add(found: re.Match[str]) -> str:
        there = found[1].split()
        flags = [f"{FLAGS[name]} {shlex.quote(value)}" for name, value in given.items() if FLAGS[name] not in there]
        return " ".join(["imgpipe", *flags, *there, ""])

    return _COMMAND.sub(add, hint)


def typed(*keys: str) -> str:
    """Keys as one types them in a shell, behind the options of a command."""
    return "-- " * any(key.startswith("-") for key in keys) + shlex.join(keys)
