"""`imgpipe template`: the CloudFormation template, for people who deploy with tools of their own."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from imgpipe.commands.base import console_of
from imgpipe.errors import ExitStatus, ImgpipeError

EXAMPLES = """
imgpipe template > template.yaml
imgpipe template -o template.yaml
imgpipe template --json | jq .parameters
"""


def template(
    ctx: typer.Context,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file, instead of stdout.", metavar="FILE")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace a file that says something else.")] = False,
) -> None:
    """Print the CloudFormation template, the same that `up` deploys.

    Needs no target and no configuration. A stack that is called imgpipe-STAGE is found by every other command.
    """
    from imgpipe.stack.template import template_body

    console = console_of(ctx)
    text = template_body()
    if output is not None:
        _write(output, text.encode(), force)
        console.note(f"Wrote {output}")
    if console.json:
        console.emit({"template": text, "parameters": _parameters(text)})
    elif output is None:
        # As bytes: not a colour, not an escape and no other line end may come between the template and a file.
        sys.stdout.buffer.write(text.encode())


def _write(path: Path, data: bytes, force: bool) -> None:
    from imgpipe.files import cannot_write, replacing

    try:
        if path.exists() and not force and path.read_bytes() != data:
            message = f"{path} exists already and says something else."
            raise ImgpipeError("file_exists", message, "add --force to replace it", ExitStatus.REFUSED)
        with replacing(path.resolve()) as file:  # a link stays one
            file.write(data)
    except OSError as error:
        raise cannot_write(path, error) from None


def _parameters(text: str) -> dict[str, dict[str, str | None]]:
    """Type, default and description of each parameter; a default of None is a value that has to be given."""
    from imgpipe.stack.template import defaults

    def said(name: str, what: str) -> str:
        found = re.search(rf"^  {name}:\n(?:    .*\n)*?    {what}: (.*)$", text, re.MULTILINE)
        if found is None:
            raise LookupError(f"the parameter {name} has no {what}")
        return found[1]

    return {
        name: {"type": said(name, "Type"), "default": default, "description": said(name, "Description")}
        for name, default in defaults(text).items()
    }
