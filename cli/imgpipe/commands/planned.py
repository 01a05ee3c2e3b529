"""What `up` shows: the plan before, the deploy after, and the same for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from imgpipe.console import Piece, Span
from imgpipe.words import counted

if TYPE_CHECKING:
    from imgpipe.commands.base import Invocation
    from imgpipe.console import Console
    from imgpipe.errors import ImgpipeError
    from imgpipe.stack.canary import Canary
    from imgpipe.stack.deploy import Deployment, StackView
    from imgpipe.stack.plan import Change, Plan
    from imgpipe.targets.base import Connection

_SYMBOLS = {"Add": ("+", "good"), "Import": ("=", "name"), "Modify": ("~", "warn"), "Remove": ("-", "bad")}
_VERBS = {"create": "Create", "import": "Create, with what an earlier stack kept,", "update": "Change"}
_LONGEST = 60  # characters of a parameter's value: a recipe can be long
_SHOWN = 12


def draw(console: Console, plan: Plan, region: str) -> None:
    """The plan for people, headed by what it does and where."""
    where = f"the stage {plan.stage} in the account {plan.owner.account}, {region}"
    if not plan.change_set:
        console.line(Span(f"{_VERBS['create']} {where}", "strong"))
        console.line("  what is left of a deploy that failed goes first, then everything is made")
        return
    console.line(Span(f"{_VERBS[plan.outcome]} {where}: {counted(len(plan.changes), 'resource')}", "strong"))
    for line in _lines(plan.changes):
        console.line("  ", *line)
    for one in plan.parameters:
        if not one.kept:
            old = f"{_short(one.old)} -> " if one.old is not None else ""
            console.line("      ", Span(one.name, "dim"), f"  {old}{_short(one.new)}")


def show(
    invocation: Invocation, connection: Connection, plan: Plan, view: StackView | None, refused: ImgpipeError | None
) -> None:
    """The answer of a dry run."""
    console = invocation.console
    if console.json:
        outputs = asdict(view.outputs) if view and view.outputs else None
        found = {"outcome": "unchanged" if plan.outcome == "unchanged" else "planned", "outputs": outputs}
        refusal = refused.message if refused else None
        console.emit({**found, **document(plan, connection), "seconds": None, "canary": None, "refusal": refusal})
        return
    if plan.outcome == "unchanged":
        console.line(Span("Nothing would change.", "good"))
    else:
        draw(console, plan, connection.region)
    remark(invocation, "", plan)
    if refused:
        console.note(Span("up would refuse this: ", "bad"), refused.message)


def nothing_runs(invocation: Invocation) -> None:
    """The answer of a dry run where a target would have to be started to know more."""
    if invocation.console.json:
        nothing = dict.fromkeys(("outputs", "endpoint", "account", "seconds", "canary", "refusal"))
        place = {"region": invocation.config.region, "changes": [], "parameters": []}
        invocation.console.emit({"outcome": "planned", **nothing, **place})
        return
    invocation.console.line(
        f"Nothing runs on {invocation.config.target}: ",
        Span(invocation.command("up"), "strong"),
        " would start it and make everything that is not there.",
    )


def remark(invocation: Invocation, recovered: str, plan: Plan) -> None:
    """What people should know beside the plan: what was mended, and the parameters that nobody asked for."""
    console = invocation.console
    if console.json:
        return
    if recovered:
        console.note(Span(recovered, "warn"))
    if held := [f"{one.name}={_short(one.new)}" for one in plan.parameters if one.kept]:
        console.note(f"Kept from the stack, for there is no imgpipe.toml here: {', '.join(held)}")


def report(
    invocation: Invocation,
    connection: Connection,
    done: Deployment,
    canary: Canary | None,
    seconds: float,
    *,
    stood: bool,
) -> None:
    """The answer of a deploy."""
    console = invocation.console
    console.line(Span(_headline(done, stood), "good"), Span(f"  {seconds:.1f} s", "dim"))
    if done.outcome == "updated" and connection.endpoint_url:  # on AWS they were shown before
        for line in _lines(done.changes[:_SHOWN]):
            console.line("  ", *line)
        if (more := len(done.changes) - _SHOWN) > 0:
            console.line(f"  and {more} more")
    made = f"{canary.seconds:.1f} s, {counted(len(canary.renditions), 'rendition')}" if canary else ""
    console.facts(
        [
            ("endpoint", connection.endpoint_url or f"AWS {connection.region}"),
            ("put images in", f"s3://{done.outputs.input_bucket}"),
            ("test image", made),
        ]
    )
    console.hint(f"Next: {invocation.command('upload --sample')}")


def document(plan: Plan, connection: Connection) -> dict[str, Any]:
    """What every document of `up` has of the plan: where, what changes, and the parameters."""
    return {
        "endpoint": connection.endpoint_url,
        "account": plan.owner.account,
        "region": connection.region,
        "changes": [{**asdict(one), "holds_data": one.holds_data} for one in plan.changes],
        "parameters": [asdict(one) for one in plan.parameters],
    }


def _headline(done: Deployment, stood: bool) -> str:
    if done.outcome == "unchanged":
        return "Nothing to do: already up." if stood else "Up again: nothing had changed."
    verb = {"created": "created", "updated": "updated", "imported": "created or took in"}[done.outcome]
    return f"Up: {verb} {counted(len(done.changes), 'resource')}."


def _lines(changes: tuple[Change, ...]) -> list[tuple[Piece, ...]]:
    """One line a change: `+ ~ - -/+ =` in colours, red where data is at stake."""
    width = max((len(one.logical_id) for one in changes), default=0)
    return [_line(one, width) for one in changes]


def _line(change: Change, width: int) -> tuple[Piece, ...]:
    symbol, style = _SYMBOLS.get(change.action, ("?", "warn"))
    note = "taken in as it is" if change.action == "Import" else ""
    if change.replacement != "False":
        symbol, style = "-/+", "warn"
        note = "replaced" if change.replacement == "True" else "may be replaced"
    if change.loses_data:
        style, note = "bad", f"{note or 'removed'}: it holds data"
    text = f"{symbol:<3} {change.logical_id:<{width}}  {change.type}"
    return (Span(text, style), Span(f"  {note}", style)) if note else (Span(text, style),)


def _short(value: str) -> str:
    if not value:
        return '""'
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
