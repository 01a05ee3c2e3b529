"""What every command starts from: its configuration, its console, and the stack it talks to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from imgpipe.console import Console, Span
from imgpipe.errors import ExitStatus, ImgpipeError, not_up

if TYPE_CHECKING:
    from imgpipe.aws import Clients
    from imgpipe.config import Config
    from imgpipe.stack.names import StackOutputs
    from imgpipe.targets.base import Progress, Target

GLOBALS = "imgpipe.globals"
"""Where the parser leaves the global options, whether they stood before or after the command."""

GIVEN = "imgpipe.given"
"""Where an invocation leaves the options that hints have to repeat."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One command line: how it is configured and how it speaks."""

    config: Config
    console: Console
    target: Target = field(compare=False)

    @classmethod
    def of(cls, ctx: typer.Context) -> Invocation:
        """The invocation that the options, the environment and imgpipe.toml make."""
        from imgpipe import config, targets

        loaded = config.load(flags_of(ctx), os.environ, Path.cwd())
        target = targets.choose(loaded)
        ctx.meta[GIVEN] = loaded.given
        return cls(loaded, console_of(ctx), target)

    def clients(self) -> Clients:
        """Clients for what runs; raises not_up where nothing does."""
        from imgpipe.aws import Clients

        return self._named(Clients(self.target.connect()))

    def start(self, progress: Progress) -> Clients:
        """Clients for the target, started where it is ours to start."""
        from imgpipe.aws import Clients

        return self._named(Clients(self.target.start(progress)))

    def stands(self) -> bool:
        """Whether the target runs already."""
        try:
            self.target.connect()
        except ImgpipeError as error:
            if error.status is not ExitStatus.UNREACHABLE:
                raise
            return False
        return True

    def open(self) -> tuple[Clients, StackOutputs]:
        """Clients and the names of a stack that is up; raises not_up where there is none."""
        from imgpipe.stack.deploy import describe

        clients = self.clients()
        view = describe(clients, self.config.stage)
        if view is None or view.outputs is None:
            raise not_up(f"There is no stack for the stage {self.config.stage}.", self.command("up"))
        return clients, view.outputs

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around a question by a name that follows from the stage; not_up where nothing has it for want of a stack."""
        try:
            yield
        except Exception as error:
            from imgpipe.stack.waiting import error_code

            if error_code(error) == "ResourceNotFoundException":
                self.open()
            raise

    def _named(self, clients: Clients) -> Clients:
        """On AWS, every command says where it is about to look or to act."""
        if self.config.target == "aws" and not self.console.json:
            from imgpipe.targets.aws import AwsTarget

            if isinstance(self.target, AwsTarget):
                self.console.note(Span(self.target.place, "strong"))
        return clients

    def agree(self, question: str, declined: str, hint: str = "add --yes", by_name: str = "") -> None:
        """Go on only if somebody agrees, by typing `by_name` where that is given.

        Raises `refused` (exit 6): with `declined` where the answer is no, with `hint` where there is nobody to ask.
        """
        console = self.console
        answer = console.confirm_by_name(question, by_name) if by_name else console.confirm(question)
        if answer is None:
            raise ImgpipeError("refused", f"{question} There is nobody to ask.", hint, ExitStatus.REFUSED)
        if not answer:
            raise ImgpipeError("refused", declined, status=ExitStatus.REFUSED)

    def command(self, text: str) -> str:
        """A command to type that reaches the same pipeline as this one."""
        from imgpipe.hints import reaching

        return reaching(self.config.given, f"imgpipe {text}")


def console_of(ctx: typer.Context) -> Console:
    """How a command speaks: all that one needs which has nothing to do with a pipeline."""
    given = ctx.meta.get(GLOBALS, {})
    return Console(json="json" in given, quiet="quiet" in given, verbose="verbose" in given)


def flags_of(ctx: typer.Context) -> dict[str, str]:
    """The global options that have a value, by their names in the configuration."""
    return {name: value for name, value in ctx.meta.get(GLOBALS, {}).items() if isinstance(value, str)}
