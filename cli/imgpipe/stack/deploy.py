"""One stage's stack, made and changed through CloudFormation change sets."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any, Literal

from imgpipe.aws import Clients
from imgpipe.errors import ImgpipeError
from imgpipe.stack.artifacts import store
from imgpipe.stack.bundle import Bundle
from imgpipe.stack.names import StackOutputs, artifact_bucket, identity, stack_name
from imgpipe.stack.waiting import (
    LONGEST_OPERATION,
    ResourceFailure,
    Watch,
    described,
    error_code,
    poll,
    remove_stack,
    settled,
    validation_failure,
)
from imgpipe.targets.base import Progress

_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_FAILED_CREATION = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a change set. `action` is Add, Modify or Remove; `replaced` is what may lose its content."""

    action: str
    logical_id: str
    type: str
    replaced: bool


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a deploy did, in `seconds`."""

    outcome: Literal["created", "updated", "unchanged"]
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


def template_body() -> str:
    """The template's text."""
    return files("imgpipe.stack").joinpath("template.yaml").read_text(encoding="utf-8")


def local_parameters() -> dict[str, str]:
    """What differs on an emulator: two workers, and retries within seconds rather than minutes."""
    return {
        "MaximumConcurrency": "2",
        "Backoff": "1,1,2,2,3,3,5",
        # Longer than the function's 60 s by just enough: here a worker starts as soon as a message was received.
        "VisibilityTimeout": "70",
    }


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
    """Make the stage's stack what the template, the bundle and the parameters say.

    `parameters` are the template's, without CodeBucket and CodeKey; one that is left out has the template's default.
    Raises ImgpipeError with the reason of the resource that failed first; a failed update leaves the old stack.
    """
    started = time.monotonic()
    name = stack_name(stage)
    owner = identity(clients)
    bucket = artifact_bucket(owner.account, clients.connection.region)
    key = store(clients, bucket, owner, bundle, progress)
    exists = _settle(clients, name, progress)
    progress("Comparing the stack with its template")
    request = {
        "StackName": name,
        "ChangeSetName": f"imgpipe-{uuid.uuid4().hex}",
        "ChangeSetType": "UPDATE" if exists else "CREATE",
        "TemplateBody": template_body(),
        "Parameters": [
            {"ParameterKey": one, "ParameterValue": value}
            for one, value in {**parameters, "CodeBucket": bucket, "CodeKey": key}.items()
        ],
        "Capabilities": ["CAPABILITY_IAM"],
        "Tags": [{"Key": "imgpipe:stage", "Value": stage}],
    }
    changes = _apply(clients, stage, request, progress)
    view = describe(clients, stage)
    if view is None or view.outputs is None:
        raise ImgpipeError("deploy_failed", f"The stack {name} was removed while it was deployed.", "imgpipe up")
    outcome: Literal["created", "updated", "unchanged"] = "updated" if exists else "created"
    if changes is None:
        outcome = "unchanged"
    return Deployment(outcome, view.outputs, changes or (), time.monotonic() - started)


def _settle(clients: Clients, name: str, progress: Progress) -> bool:
    """Wait for what is under way and remove what never came to be; whether there is a stack to update."""
    stack = settled(clients, name, progress)
    if stack is None:
        return False
    status = stack["StackStatus"]
    if status == "REVIEW_IN_PROGRESS":  # a change set was proposed and never executed: ours takes its place
        return False
    if status in ("UPDATE_ROLLBACK_FAILED", "DELETE_FAILED"):
        reason = stack.get("StackStatusReason") or "no reason given"
        raise ImgpipeError(
            "stack_stuck",
            f"The stack {name} is in {status} and cannot be updated: {reason}",
            f"aws cloudformation continue-update-rollback --stack-name {name}"
            if status == "UPDATE_ROLLBACK_FAILED"
            else "imgpipe down",
        )
    if status not in _FAILED_CREATION or _holds_resources(clients, name):
        return True
    progress("Removing the remains of a failed deploy")
    remove_stack(clients, stack["StackId"], progress)
    return False


def _holds_resources(clients: Clients, name: str) -> bool:
    """Whether a stack that looks like a failed creation has resources all the same.

    LocalStack reports a failed update as ROLLBACK_COMPLETE; deleting that stack would delete a pipeline at work.
    """
    pages = clients["cloudformation"].get_paginator("list_stack_resources").paginate(StackName=name)
    states = [one["ResourceStatus"] for page in pages for one in page["StackResourceSummaries"]]
    return any(state in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE") for state in states)


def _apply(clients: Clients, stage: str, request: dict[str, Any], progress: Progress) -> tuple[Change, ...] | None:
    """Propose the change set and execute it; None where nothing would change."""
    from botocore.exceptions import ClientError

    cloudformation, creating = clients["cloudformation"], request["ChangeSetType"] == "CREATE"
    try:
        proposed = cloudformation.create_change_set(**request)
    except ClientError as error:
        if error_code(error) != "ValidationError":
            raise
        reason = error.response["Error"]["Message"]
        raise _refused(stage, reason) from error
    change_set, stack_id = proposed["Id"], proposed["StackId"]
    try:
        changes = _review(clients, stage, change_set)
        if changes is not None:
            watch = Watch(clients, stack_id, progress)
            progress("Creating the stack" if creating else "Updating the stack")
            cloudformation.execute_change_set(ChangeSetName=change_set)
    except BaseException:  # Ctrl-C as well: a change set that nobody executes is litter
        _discard(clients, change_set, stack_id if creating else None)
        raise
    if changes is None:
        _discard(clients, change_set, None)
        return None
    status = watch.finish()
    if watch.failure or status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise _failed(stage, status, watch.failure, creating=creating)
    return changes


def _review(clients: Clients, stage: str, change_set: str) -> tuple[Change, ...] | None:
    """Wait for CloudFormation to have worked out the changes; None where there are none."""
    cloudformation = clients["cloudformation"]

    def look() -> dict[str, Any] | None:
        answer: dict[str, Any] = cloudformation.describe_change_set(ChangeSetName=change_set)
        return None if answer["Status"] in ("CREATE_PENDING", "CREATE_IN_PROGRESS") else answer

    answer = poll(look, LONGEST_OPERATION) or {}
    if answer.get("Status") != "CREATE_COMPLETE":
        reason = answer.get("StatusReason") or "no reason given"
        if any(words in reason for words in _NO_CHANGES):
            return None
        if failure := validation_failure(clients, ChangeSetName=change_set):
            reason = str(failure)
        raise _refused(stage, reason)
    lines = list(answer.get("Changes", ()))
    while token := answer.get("NextToken"):
        answer = cloudformation.describe_change_set(ChangeSetName=change_set, NextToken=token)
        lines += answer.get("Changes", ())
    return tuple(
        Change(one["Action"], one["LogicalResourceId"], one["ResourceType"], one.get("Replacement") == "True")
        for one in (line["ResourceChange"] for line in lines)
    )


def _discard(clients: Clients, change_set: str, shell: str | None) -> None:
    """Delete a change set, and with it the empty stack that proposing it made."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        clients["cloudformation"].delete_change_set(ChangeSetName=change_set)
        if shell and (stack := described(clients, shell)) and stack["StackStatus"] == "REVIEW_IN_PROGRESS":
            clients["cloudformation"].delete_stack(StackName=shell)
    except (BotoCoreError, ClientError):
        return  # nothing is lost: the next deploy takes no notice of either


def _refused(stage: str, reason: str) -> ImgpipeError:
    return ImgpipeError(
        "deploy_refused",
        f"CloudFormation does not accept the stack {stack_name(stage)}: {reason}",
        "imgpipe up",
    )


def _failed(stage: str, status: str, failure: ResourceFailure | None, *, creating: bool) -> ImgpipeError:
    name = stack_name(stage)
    cause = str(failure or f"the stack is in {status}")
    if creating:
        hint = "imgpipe " + ("down" if "already exists" in cause else "up")
        return ImgpipeError("deploy_failed", f"The stack {name} could not be created: {cause}", hint)
    place = "and was undone" if status == "UPDATE_ROLLBACK_COMPLETE" else f"and left the stack in {status}"
    return ImgpipeError("deploy_failed", f"The update of the stack {name} failed {place}: {cause}", "imgpipe status")
