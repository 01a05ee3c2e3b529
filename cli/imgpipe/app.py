"""The command line: parses, runs one command, and turns whatever goes wrong into a sentence and a status."""

from __future__ import annotations

import importlib
import os
from typing import Any

import typer
from typer import core
from typer._click.exceptions import ClickException, UsageError
from typer._click.formatting import HelpFormatter

from imgpipe import __version__, help
from imgpipe.commands.base import GIVEN, GLOBALS
from imgpipe.console import Console
from imgpipe.errors import ExitStatus, ImgpipeError

COMPLETE = "_IMGPIPE_COMPLETE"
"""Set by the shell functions of --install-completion; the answer is then for the shell."""


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit status. Only BrokenPipeError escapes: then there is nobody to tell."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    console = Console(json="--json" in options)
    meta: dict[str, Any] = {}
    try:
        return _invoke(arguments, meta)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        failure = ImgpipeError("interrupted", "Interrupted.", status=ExitStatus.INTERRUPTED)
    except ClickException as error:
        failure = _usage(error)
    except Exception as error:
        if "--debug" in options:
            console.traceback()
        from imgpipe.failures import explain

        failure = explain(error)
    from imgpipe.hints import reaching

    failure.hint = reaching(meta.get(GIVEN, {}), failure.hint)
    console.error(failure)
    return int(failure.status)


def _invoke(arguments: list[str], meta: dict[str, Any]) -> int:
    """Parse and run; `meta` receives what the parser and the command leave in the context.

    Typer's own main would turn a closed pipe and Ctrl-C into statuses of its own.
    """
    group = root()
    if COMPLETE in os.environ:
        group.main(arguments, prog_name="imgpipe", complete_var=COMPLETE)
    try:
        with group.make_context("imgpipe", arguments) as context:
            try:
                group.invoke(context)
            finally:
                meta.update(context.meta)
    except typer.Exit as end:
        return end.exit_code
    return 0


def root() -> Commands:
    """The whole command line; the modules of the commands are imported when they are asked for."""
    app = typer.Typer(
        cls=Commands,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_no_command)
    group = typer.main.get_command(app)
    if not isinstance(group, Commands):
        raise TypeError("typer made something else of the command table")
    group.params += [*_global_options(), _version_option()]
    return group


class Commands(core.TyperGroup):
    """The command table: knows every name, imports one module."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        del ctx
        return list(help.COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        del ctx
        if cmd_name not in help.COMMANDS:
            return None
        if cmd_name not in self.commands:
            module = importlib.import_module(f"imgpipe.commands.{cmd_name}")
            app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
            app.command(cmd_name, cls=Command, epilog=module.EXAMPLES)(getattr(module, cmd_name))
            command = typer.main.get_command(app)
            command.params += _global_options()
            self.commands[cmd_name] = command
        return self.commands[cmd_name]

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        # Suggestions are made from what is registered, and here nothing is until it is asked for.
        if args and args[0] not in help.COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], (*help.COMMANDS, *help.OTHER_NAMES), n=1)
            guess = f" Did you mean {help.OTHER_NAMES.get(close[0], close[0])}?" if close else ""
            raise UsageError(f"There is no command {args[0]!r}.{guess}", ctx)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: HelpFormatter) -> None:
        del ctx
        formatter.write(help.page())


class Command(core.TyperCommand):
    """One verb: its help ends in examples, and leaves the global options to the front page."""

    def format_help(self, ctx: Any, formatter: HelpFormatter) -> None:
        self.format_usage(ctx, formatter)
        formatter.write(f"\n{(self.help or '').strip()}\n")
        formatter.write("\nExamples\n" + "".join(f"  {line}\n" for line in (self.epilog or "").strip().splitlines()))
        records = [p.get_help_record(ctx) for p in self.get_params(ctx) if not (p.name or "").startswith("global_")]
        rows = [record for record in records if record and "--help" not in record[0]]
        if rows:
            formatter.write("\nOptions\n")
            formatter.indent()
            formatter.write_dl(rows)
            formatter.dedent()
        formatter.write("\nimgpipe --help lists the options that every command takes.\n")


def _no_command() -> None:
    """The body of `imgpipe` itself: there is nothing to do before a command."""


def _global_options() -> list[Any]:
    return [_global_option(flags, metavar, text) for flags, metavar, text in help.OPTIONS]


def _global_option(flags: str, metavar: str, text: str) -> core.TyperOption:
    declared = flags.split(", ")
    name = declared[-1].lstrip("-").replace("-", "_")

    def keep(ctx: Any, _param: Any, value: Any) -> None:
        if value:
            ctx.meta.setdefault(GLOBALS, {})[name] = value

    return core.TyperOption(
        param_decls=[*declared, f"global_{name}"],
        metavar=metavar or None,
        type=str if metavar else None,
        is_flag=not metavar,
        default=None if metavar else False,
        help=text,
        expose_value=False,
        callback=keep,
    )


def _version_option() -> core.TyperOption:
    def show(ctx: Any, _param: Any, value: Any) -> None:
        if value:
            typer.echo(f"imgpipe {__version__}")
            ctx.exit()

    return core.TyperOption(
        param_decls=["--version"], is_flag=True, default=False, is_eager=True, expose_value=False, callback=show
    )


def _usage(error: ClickException) -> ImgpipeError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "imgpipe"
    return ImgpipeError("usage", error.format_message(), f"{path} --help", ExitStatus.USAGE)
