"""`imgpipe config`: what a command would run with, and where each value came from."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgpipe.commands.base import Invocation, console_of
from imgpipe.console import Cell, Span
from imgpipe.errors import ExitStatus, ImgpipeError, usage
from imgpipe.starter import starter, toml

if TYPE_CHECKING:
    from imgpipe.effective import Effective

EXAMPLES = """
imgpipe config
imgpipe --stage prod config
imgpipe config --json | jq .values.region
imgpipe config init
"""


class Action(StrEnum):
    """What to do other than show."""

    INIT = "init"


def config(
    ctx: typer.Context,
    action: Annotated[Action | None, typer.Argument(help="init writes a commented imgpipe.toml here.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="With init: replace what is there.")] = False,
) -> None:
    """Show the configuration and where each value comes from.

    Flags win over the environment, that over imgpipe.toml or [tool.imgpipe] in pyproject.toml, that over defaults.
    Nothing is contacted. In a pipe, each line is key, origin and value, separated by tabs.
    """
    if action is Action.INIT:
        _init(ctx, force)
        return
    if force:
        raise usage("--force belongs to init.", "imgpipe config init --force")
    from imgpipe.effective import effective

    invocation = Invocation.of(ctx)
    loaded, console = invocation.config, invocation.console
    values = effective(loaded, invocation.target.parameters(loaded.parameters), os.environ)
    if console.json:
        document = {one.key: {"value": one.value, "from": one.origin} for one in values}
        console.emit({"file": str(loaded.file) if loaded.file else None, "values": document})
        return
    console.table(("key", "from", "value"), [_row(one, console.terminal) for one in values])
    if loaded.file is None:
        console.hint(f"There is no imgpipe.toml here or above. To begin one: {invocation.command('config init')}")


def _row(one: Effective, terminal: bool) -> tuple[Cell, ...]:
    origin = one.origin
    if terminal and (path := origin.partition(", line ")[0]) != origin:
        origin = origin.replace(path, os.path.relpath(path))
    value = "-" if one.value is None else toml(one.value)
    return (one.key, Span(origin, "dim" if origin == "default" else "name"), value)


def _init(ctx: typer.Context, force: bool) -> None:
    """Needs no valid configuration, for it may be asked to replace a broken one."""
    from imgpipe.configfile import FILE, PROJECT, has_table
    from imgpipe.files import replacing

    console = console_of(ctx)
    path, project = Path.cwd() / FILE, Path.cwd() / PROJECT
    if not force and path.exists():
        raise _refused(f"{path} is there already.")
    if not force and has_table(project):
        raise _refused(f"{project} has a table [tool.imgpipe], which an {FILE} beside it would hide.")
    try:
        with replacing(path.resolve()) as file:
            file.write(starter().encode())
    except OSError as error:
        raise ImgpipeError("cannot_write", f"{path} cannot be written: {error.strerror}.", "ls -ld .") from None
    if console.json:
        console.emit({"file": str(path)})
        return
    console.line(f"Wrote {path.name}. Uncomment what is to differ.")
    console.hint("Next: imgpipe config")


def _refused(message: str) -> ImgpipeError:
    return ImgpipeError("file_exists", message, "imgpipe config init --force", ExitStatus.REFUSED)
