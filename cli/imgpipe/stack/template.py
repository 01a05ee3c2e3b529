"""The template's text, the defaults of its parameters, and its form for one account and region."""

from __future__ import annotations

import re
from importlib.resources import files

_SECTION = re.compile(r"^Parameters:\n(.*?)^(?=\S)", re.MULTILINE | re.DOTALL)
_PARAMETER = re.compile(r"^  (\w+):\n((?:    .*\n|\s*\n)*)", re.MULTILINE)
_DEFAULT = re.compile(r"^    Default: (.*?)(?:\s+#.*)?$", re.MULTILINE)
_NAME = re.compile(r"\b((?:Bucket|Table)Name): !Sub (\S+)")


def template_body() -> str:
    """The template's text."""
    return files("imgpipe.stack").joinpath("template.yaml").read_text(encoding="utf-8")


def defaults(body: str) -> dict[str, str | None]:
    """Every parameter with its default, None where it has none and must be given."""
    section = _SECTION.search(body)
    found: dict[str, str | None] = {}
    for name, properties in _PARAMETER.findall(section[1] if section else ""):
        default = _DEFAULT.search(properties)
        found[name] = default[1].strip("\"'") if default else None
    return found


def with_literal_names(body: str, stack: str, account: str, region: str) -> str:
    """The template with the names of buckets and tables written out.

    CloudFormation imports what an earlier stack left behind only where the template names it without a function.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-automatically.html
    """
    values = {"${AWS::StackName}": stack, "${AWS::AccountId}": account, "${AWS::Region}": region}

    def written(found: re.Match[str]) -> str:
        name = found[2]
        for pseudo, value in values.items():
            name = name.replace(pseudo, value)
        return f"{found[1]}: {name}"

    return _NAME.sub(written, body)
