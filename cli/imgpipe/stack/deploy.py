"""One stage's stack: how it stands, and the plan for it put into effect."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from imgpipe.aws import Clients
from imgpipe.errors import ImgpipeError
from imgpipe.failures import missing_permission
from imgpipe.stack import notifications
from imgpipe.stack.artifacts import store
from imgpipe.stack.bundle import Bundle
from imgpipe.stack.names import StackOutputs, artifact_bucket, stack_name
from imgpipe.stack.plan import Change, Plan, Wanted, discard, propose, refusal
from imgpipe.stack.recovery import last_failures, recover
from imgpipe.stack.waiting import ResourceFailure, Watch, described, poll
from imgpipe.targets.base import Progress

_SUCCESS = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
_OUTPUTS = 5.0  # seconds: LocalStack calls a stack complete a moment before it has its outputs


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a deploy did, in `seconds`."""

    outcome: Literal["created", "imported", "updated", "unchanged"]
    outputs: StackOutputs
    changes: tuple[Change, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class StackView:
    """The stack as CloudFormation knows it. `outputs` is None until it was made completely."""

    name: str
    stack_id: str
    status: str
    reason: str
    outputs: StackOutputs | None
    parameters: Mapping[str, str]
    changed_at: datetime


def describe(clients: Clients, stage: str) -> StackView | None:
    """The stage's stack, or None where there is none."""
    stack = described(clients, stack_name(stage))
    if stack is None:
        return None
    return StackView(
        name=stack["StackName"],
        stack_id=stack["StackId"],
        status=stack["StackStatus"],
        reason=stack.get("StackStatusReason", ""),
        outputs=StackOutputs.of(stack.get("Outputs", ())),
        parameters={one["ParameterKey"]: one["ParameterValue"] for one in stack.get("Parameters", ())},
        changed_at=stack.get("LastUpdatedTime", stack["CreationTime"]),
    )


def deploy(
    clients: Clients, stage: str, bundle: Bundle, parameters: Mapping[str, str], progress: Progress
) -> Deployment:
    """Make the stage's stack what the template, the bundle and the parameters say, unless that could lose data.

    `parameters` are the template's, without CodeBucket and CodeKey; one that is left out has the template's default.
    Raises ImgpipeError with the reason of the resource that failed first; a failed update leaves the old stack.
    """
    recover(clients, stage, progress)
    plan = propose(clients, Wanted(stage=stage, parameters=parameters), lambda _: bundle, progress)
    if refused := objection(clients, plan):
        discard(clients, plan)
        raise refused
    return apply(clients, plan, progress)


def objection(
    clients: Clients, plan: Plan, *, allow_replace: bool = False, replace_notifications: bool = False
) -> ImgpipeError | None:
    """Why a plan should not be executed unasked (exit 6), None where nothing speaks against it."""
    return (None if allow_replace else refusal(plan)) or (
        None if replace_notifications else notifications.foreign(clients, plan)
    )


def apply(clients: Clients, plan: Plan, progress: Progress) -> Deployment:
    """Upload the code and execute the change set of a plan; a plan that does not get that far is discarded.

    Raises ImgpipeError with the reason of the resource that failed first; a failed update leaves the old stack.
    """
    started = time.monotonic()
    outcome: Literal["created", "imported", "updated", "unchanged"] = "unchanged"
    if plan.change_set:
        _execute(clients, plan, progress)
        notifications.connect(clients, plan)
        outcome = "updated"
        if plan.creates:
            outcome = "created" if plan.outcome == "create" else "imported"
    view = poll(lambda: _complete(clients, plan.stage), _OUTPUTS)
    if view is None or view.outputs is None:
        name = stack_name(plan.stage)
        raise ImgpipeError("deploy_failed", f"The stack {name} was removed while it was deployed.", "imgpipe up")
    return Deployment(outcome, view.outputs, plan.changes, time.monotonic() - started)


def _complete(clients: Clients, stage: str) -> StackView | None:
    """The stack once its outputs are there."""
    view = describe(clients, stage)
    return view if view is not None and view.outputs is not None else None


def _execute(clients: Clients, plan: Plan, progress: Progress) -> None:
    try:
        bucket = artifact_bucket(plan.owner.account, clients.connection.region)
        store(clients, bucket, plan.owner, plan.bundle, progress)
        watch = Watch(clients, plan.stack_id or stack_name(plan.stage), progress)
        progress("Creating the stack" if plan.creates else "Updating the stack")
        clients["cloudformation"].execute_change_set(ChangeSetName=plan.change_set)
    except BaseException:  # Ctrl-C as well: a change set that nobody executes is litter
        discard(clients, plan)
        raise
    status = watch.finish()
    if watch.failure or status not in _SUCCESS:
        failures = last_failures(clients, plan.stack_id or stack_name(plan.stage))
        raise _failed(plan, status, watch.failure or next(iter(failures), None), clients.connection.target)


def _failed(plan: Plan, status: str, failure: ResourceFailure | None, target: str) -> ImgpipeError:
    name = stack_name(plan.stage)
    cause = str(failure or f"the stack is in {status}")
    if plan.creates:
        message = f"The stack {name} could not be created: {cause}"
        hint = "imgpipe " + ("down" if "already exists" in cause else "up")
    else:
        place = "and was undone" if status == "UPDATE_ROLLBACK_COMPLETE" else f"and left the stack in {status}"
        message, hint = f"The update of the stack {name} failed {place}: {cause}", "imgpipe status"
        if target == "localstack":  # it does not undo what it changed before the failure, nor update what failed
            hint = "imgpipe down, then imgpipe up"
    if permission := missing_permission(cause):
        hint = f"let these credentials {permission}, then imgpipe up"
    return ImgpipeError("deploy_failed", message, hint)
