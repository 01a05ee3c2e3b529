"""Stacks that an earlier deploy left in pieces: what happened to them, and the way back. No data is ever deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from imgpipe.aws import Clients
from imgpipe.errors import ImgpipeError
from imgpipe.stack.names import stack_name
from imgpipe.stack.waiting import (
    ResourceFailure,
    Watch,
    described,
    error_code,
    remove_stack,
    settled,
    validation_failure,
)
from imgpipe.targets.base import Progress

Condition = Literal["sound", "remains", "stuck"]
REMAINS: Condition = "remains"
STUCK: Condition = "stuck"

_NEVER_MADE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")
_STUCK = ("UPDATE_ROLLBACK_FAILED", "IMPORT_ROLLBACK_FAILED", "DELETE_FAILED")
_BEGINNINGS = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "IMPORT_IN_PROGRESS", "DELETE_IN_PROGRESS")
_CONSEQUENCES = ("Resource creation cancelled", "Resource update cancelled")


def condition(clients: Clients, stack: Mapping[str, Any] | None) -> Condition | None:
    """Whether a stack can be updated, is what a failed creation left, or is stuck; None where there is none.

    A change set that was proposed and never executed leaves an empty shell, which counts as none.
    """
    if stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        return None
    if stack["StackStatus"] in _STUCK:
        return STUCK
    if stack["StackStatus"] in _NEVER_MADE and not _works_all_the_same(clients, stack):
        return REMAINS
    return "sound"


def recover(clients: Clients, stage: str, progress: Progress) -> str:
    """Bring the stage's stack back to where it can be deployed; what was done in words, "" for nothing.

    The remains of a first deploy that failed are removed, an update whose undoing failed is undone again. Raises
    ImgpipeError where that does not help.
    """
    stack = settled(clients, stack_name(stage), progress)
    standing = condition(clients, stack)
    if stack is not None and standing == "sound" and stack["StackStatus"] in _NEVER_MADE:
        raise stuck(clients, stack)
    if stack is None or standing not in (REMAINS, STUCK):
        return ""
    if standing is STUCK:
        return _undo_again(clients, stack, progress)
    failures = last_failures(clients, stack["StackId"])
    if not failures and (refused := validation_failure(clients, StackName=stack["StackId"])):
        failures = [refused]
    cause = _first(failures)
    progress("Removing the remains of a failed deploy")
    status = remove_stack(clients, stack["StackId"], progress)
    if status != "DELETE_COMPLETE" and (left := described(clients, stack["StackId"])):
        raise stuck(clients, left)
    return f"An earlier deploy had failed{cause}; its remains are removed."


def stuck(clients: Clients, stack: Mapping[str, Any]) -> ImgpipeError:
    """What holds a stack that can be neither updated nor deleted."""
    name, status = stack["StackName"], stack["StackStatus"]
    failures = last_failures(clients, stack["StackId"])
    # What stopped the undoing is what failed last; the first failure is why there was something to undo.
    reason = str(failures[-1]) if failures else stack.get("StackStatusReason") or "no reason given"
    if status == "UPDATE_ROLLBACK_FAILED":
        skipped = " ".join(dict.fromkeys(one.logical_id for one in failures[-1:]))
        hint = "mend what it names, then imgpipe up; or go on without it: aws cloudformation "
        hint += f"continue-update-rollback --stack-name {name} --resources-to-skip {skipped or 'LOGICAL_ID'}"
    elif clients.connection.target == "localstack":
        hint = "imgpipe down, then imgpipe up: LocalStack does not update a stack again whose update failed"
    elif status == "DELETE_FAILED":
        hint = f"aws cloudformation delete-stack --stack-name {name}, which keeps images and records; then imgpipe up"
    else:
        hint = f"aws cloudformation describe-stack-events --stack-name {name}"
    return ImgpipeError("stack_stuck", f"The stack {name} is in {status} and cannot be updated: {reason}", hint)


def last_failures(clients: Clients, stack_id: str) -> list[ResourceFailure]:
    """The resources that failed in the stack's last operation, the first failure first."""
    from botocore.exceptions import ClientError

    found: list[ResourceFailure] = []
    try:
        for page in clients["cloudformation"].get_paginator("describe_stack_events").paginate(StackName=stack_id):
            for event in page["StackEvents"]:  # newest first
                status, reason = event["ResourceStatus"], event.get("ResourceStatusReason") or "no reason given"
                if event["ResourceType"] == "AWS::CloudFormation::Stack":
                    if status in _BEGINNINGS:
                        return found[::-1]
                elif status.endswith("_FAILED") and not reason.startswith(_CONSEQUENCES):
                    found.append(ResourceFailure(event["LogicalResourceId"], event["ResourceType"], reason))
    except ClientError as error:
        if error_code(error) != "ValidationError":  # a stack that is gone may have no events any more
            raise
    return found[::-1]


def _undo_again(clients: Clients, stack: Mapping[str, Any], progress: Progress) -> str:
    if stack["StackStatus"] != "UPDATE_ROLLBACK_FAILED":
        raise stuck(clients, stack)
    cause = _first(last_failures(clients, stack["StackId"]))
    watch = Watch(clients, stack["StackId"], progress)
    progress("Undoing the update that failed")
    clients["cloudformation"].continue_update_rollback(StackName=stack["StackId"])
    status = watch.finish()
    if status != "UPDATE_ROLLBACK_COMPLETE":
        raise stuck(clients, {**stack, "StackStatus": status})
    return f"An earlier update had failed{cause}; it is undone."


def _first(failures: Sequence[ResourceFailure]) -> str:
    return f": {str(failures[0]).rstrip('.')}" if failures else ""


def _works_all_the_same(clients: Clients, stack: Mapping[str, Any]) -> bool:
    """Whether what looks like a failed creation is a pipeline at work.

    LocalStack reports a failed update as ROLLBACK_COMPLETE; a stack that was never made has no outputs. On AWS the
    status can be believed.
    """
    return clients.connection.endpoint_url is not None and bool(stack.get("Outputs"))
