"""`imgpipe up`: start the target and make the stack what the template says."""

from __future__ import annotations

import shlex
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from imgpipe.commands import planned
from imgpipe.commands.base import Invocation
from imgpipe.errors import ExitStatus, ImgpipeError, usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgpipe.aws import Clients
    from imgpipe.stack.plan import Plan
    from imgpipe.targets.base import Progress

EXAMPLES = """
imgpipe up
imgpipe up --stage test
imgpipe -t aws --profile prod up --dry-run
imgpipe -t aws up --alarm-email ops@example.com
imgpipe up --json | jq -r .outputs.input_bucket
"""

_EMAIL, _FLAG = "AlarmEmail", "--alarm-email"


def up(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="On AWS: do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="With --dry-run: exit 3 if anything would.")] = False,
    allow_replace: Annotated[
        bool, typer.Option("--allow-replace", help="Even if a bucket or the table is replaced or removed.")
    ] = False,
    replace_notifications: Annotated[
        bool, typer.Option("--replace-notifications", help="Even if the input bucket notifies others, who lose that.")
    ] = False,
    no_canary: Annotated[bool, typer.Option("--no-canary", help="Send no test image after a change.")] = False,
    alarm_email: Annotated[
        str | None,
        typer.Option(help="On AWS: mail alarms there. For good: alarm_email in the file.", metavar="ADDRESS"),
    ] = None,
) -> None:
    """Start the pipeline, or bring it up to date.

    A pipeline that is up and unchanged is left alone. What to make of each image comes from imgpipe.toml. On AWS it
    shows what would change and asks; there and on LocalStack, it sends a test image through what it made or changed.
    """
    from imgpipe.stack.deploy import objection

    invocation = Invocation.of(ctx)
    if alarm_email is not None:
        invocation = _mailing(invocation, alarm_email)

    def objects(clients: Clients, plan: Plan) -> ImgpipeError | None:
        return objection(clients, plan, allow_replace=allow_replace, replace_notifications=replace_notifications)

    if exit_code and not dry_run:
        raise usage("--exit-code belongs to --dry-run.", "imgpipe up --dry-run --exit-code")
    if not dry_run:
        _deploy(invocation, objects, ask=not yes, canary=not no_canary)
    elif _preview(invocation, objects) and exit_code:
        raise typer.Exit(ExitStatus.INCOMPLETE)


def _mailing(invocation: Invocation, address: str) -> Invocation:
    """The same run with its alarms mailed to `address`, or to nobody where that is empty."""
    from imgpipe.stack.parameters import named

    config = invocation.config
    if config.target != "aws":
        hint = f"imgpipe -t aws up --alarm-email {shlex.quote(address)}"
        raise usage(f"Alarms are mailed on AWS only; on {config.target}, imgpipe status shows them.", hint)
    parameter = named(_EMAIL)
    if not parameter.kind.holds(address):
        raise usage(
            f"--alarm-email: {address!r} is not {parameter.kind.says}.", "imgpipe up --alarm-email ops@example.com"
        )
    origins = {**config.origins, parameter.place: _FLAG}
    return replace(
        invocation, config=replace(config, parameters={**config.parameters, _EMAIL: address}, origins=origins)
    )


def _tell_of_mail(invocation: Invocation, plan: Plan) -> None:
    """That an address has to confirm, once after it was set."""
    address = next((one.new for one in plan.parameters if one.name == _EMAIL and not one.kept), "")
    if address:
        invocation.console.note(f"AWS has sent a mail to {address}: alarms follow once the link in it was opened.")


def _preview(invocation: Invocation, objects: Callable[[Clients, Plan], ImgpipeError | None]) -> bool:
    """Show what `up` would do and leave no trace; whether it would do anything."""
    from imgpipe.stack.deploy import describe
    from imgpipe.stack.plan import discard

    if invocation.config.target != "aws" and not invocation.stands():
        planned.nothing_runs(invocation)
        return True
    with invocation.console.steps() as progress:
        clients = invocation.start(progress)
        plan = _propose(invocation, clients, progress)
        try:
            refused = objects(clients, plan)
            view = describe(clients, invocation.config.stage)
        finally:
            discard(clients, plan)
    planned.show(invocation, clients.connection, plan, view, refused)
    return plan.outcome != "unchanged"


def _deploy(
    invocation: Invocation, objects: Callable[[Clients, Plan], ImgpipeError | None], *, ask: bool, canary: bool
) -> None:
    from imgpipe.stack.canary import sing
    from imgpipe.stack.deploy import apply
    from imgpipe.stack.plan import discard
    from imgpipe.stack.recovery import recover

    console, target = invocation.console, invocation.config.target
    started, stood = time.monotonic(), target != "aws" and invocation.stands()
    with console.steps() as progress:
        clients = invocation.start(progress)
        recovered = recover(clients, invocation.config.stage, progress)
        plan = _propose(invocation, clients, progress)
    planned.remark(invocation, recovered, plan)
    try:
        if plan.change_set and target == "aws":
            planned.draw(console, plan, clients.connection.region)
        if refused := objects(clients, plan):
            raise refused
        if plan.change_set and target == "aws" and ask:
            _ask(invocation, plan, clients.connection.region)
    except BaseException:  # Ctrl-C at the question as well
        discard(clients, plan)
        raise
    with console.steps() as progress:
        done = apply(clients, plan, progress)
        sung = None
        if done.outcome != "unchanged" and canary and target != "local":
            sung = sing(clients, done.outputs, plan.effective.get("Formats", ""), plan.owner.account, progress)
    if done.outcome != "unchanged":
        _tell_of_mail(invocation, plan)
    if console.json:
        found = {"outcome": done.outcome, "outputs": asdict(done.outputs), "canary": asdict(sung) if sung else None}
        seconds = round(time.monotonic() - started, 1)
        console.emit({**found, **planned.document(plan, clients.connection), "seconds": seconds})
        return
    planned.report(invocation, clients.connection, done, sung, time.monotonic() - started, stood=stood)


def _propose(invocation: Invocation, clients: Clients, progress: Progress) -> Plan:
    from imgpipe.stack.plan import Wanted, propose

    config, target = invocation.config, invocation.target
    wanted = Wanted(
        stage=config.stage,
        parameters=target.parameters(config.parameters),
        tags=config.tags,
        keep=config.file is None,  # a run from the wrong directory must not reset production
    )
    return propose(clients, wanted, lambda parameters: target.bundle(parameters, progress), progress)


def _ask(invocation: Invocation, plan: Plan, region: str) -> None:
    verb = "Create" if plan.creates else "Change"
    question = f"{verb} the stage {plan.stage} in the account {plan.owner.account}, {region}?"
    mailing = f" {_FLAG} {shlex.quote(plan.effective[_EMAIL])}" if _FLAG in invocation.config.origins.values() else ""
    invocation.agree(question, "Nothing was changed.", hint=invocation.command(f"up --yes{mailing}"))
