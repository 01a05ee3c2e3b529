"""Waiting for AWS: one loop that looks often at first and seldom later, and the stack's events as they come in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from imgpipe.aws import Clients
from imgpipe.errors import ImgpipeError
from imgpipe.targets.base import Progress

T = TypeVar("T")

LONGEST_OPERATION = 3600.0
"""Seconds that a stack operation may take. Nothing in the template takes more than minutes."""

_FIRST_PAUSE, _LAST_PAUSE = 0.01, 2.0
_GRACE = 10.0  # for the first event of an operation to appear
_VERBS = {"CREATE": "Creating", "UPDATE": "Updating", "DELETE": "Deleting", "IMPORT": "Taking in"}


def poll(look: Callable[[], T | None], seconds: float) -> T | None:
    """What `look` returns as soon as that is not None; None when `seconds` have passed."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while (found := look()) is None and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _LAST_PAUSE)
    return found


def error_code(error: Exception) -> str:
    """The code of a botocore ClientError, such as "ValidationError"; for HEAD requests S3 has only "404"."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def described(clients: Clients, stack: str) -> dict[str, Any] | None:
    """DescribeStacks for a name or id; None where there is no such stack, or no longer."""
    from botocore.exceptions import ClientError

    try:
        found: dict[str, Any] = clients["cloudformation"].describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if error_code(error) == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    return None if found["StackStatus"] == "DELETE_COMPLETE" else found


@dataclass(frozen=True, slots=True)
class ResourceFailure:
    """The resource that failed first, and what CloudFormation says about it."""

    logical_id: str
    type: str
    reason: str

    def __str__(self) -> str:
        return f"{self.logical_id} ({self.type}): {self.reason}"


class Watch:
    """Follows one operation of a stack by its events, from the moment this object is made."""

    def __init__(self, clients: Clients, stack_id: str, progress: Progress) -> None:
        self._clients, self._stack_id, self._progress = clients, stack_id, progress
        self._newest = next(self._events(), {}).get("EventId")
        self._began = time.monotonic()
        self._said = ""
        self._stack_event = ""
        self.failure: ResourceFailure | None = None

    def finish(self) -> str:
        """Wait until the operation is over; its last status, DELETE_COMPLETE where the stack is gone."""
        status = poll(self._look, LONGEST_OPERATION)
        if status is None:
            raise ImgpipeError(
                "stack_busy", "CloudFormation has not finished within an hour; it goes on without us.", "imgpipe status"
            )
        if self.failure is None and (status.endswith("_FAILED") or "ROLLBACK" in status):
            self.failure = validation_failure(self._clients, StackName=self._stack_id)
        return status

    def _look(self) -> str | None:
        self._read()
        stack = described(self._clients, self._stack_id)
        if stack is None:
            return "DELETE_COMPLETE"
        status: str = stack["StackStatus"]
        # The status before the operation looks like its end until the operation has begun.
        stale = status != self._stack_event and time.monotonic() - self._began < _GRACE
        return None if stale or status.endswith("_IN_PROGRESS") else status

    def _read(self) -> None:
        fresh = list(self._events())
        for event in reversed(fresh):
            if event["ResourceType"] == "AWS::CloudFormation::Stack":
                self._stack_event = event["ResourceStatus"]
                continue
            action, _, state = event["ResourceStatus"].partition("_")
            if state == "IN_PROGRESS" and action in _VERBS:
                self._say(f"{_VERBS[action]} {event['LogicalResourceId']}")
            elif state == "FAILED" and action in ("CREATE", "UPDATE", "IMPORT") and self.failure is None:
                self.failure = _failure(event)
        if fresh:
            self._newest = fresh[0]["EventId"]

    def _say(self, phrase: str) -> None:
        if phrase != self._said:
            self._said = phrase
            self._progress(phrase)

    def _events(self) -> Iterator[Mapping[str, Any]]:
        """Newest first, down to the newest that is known."""
        from botocore.exceptions import ClientError

        known = getattr(self, "_newest", None)
        pages = self._clients["cloudformation"].get_paginator("describe_stack_events")
        try:
            for page in pages.paginate(StackName=self._stack_id):
                for event in page["StackEvents"]:
                    if event["EventId"] == known:
                        return
                    yield event
        except ClientError as error:
            if error_code(error) != "ValidationError":  # a stack that is gone may have no events any more
                raise


def validation_failure(clients: Clients, **of: str) -> ResourceFailure | None:
    """What CloudFormation found wrong before it began, which no stack event says.

    `of` is a StackName or a ChangeSetName; None where there is nothing, or no such API, as on LocalStack.
    """
    from botocore.exceptions import ClientError

    try:
        answer = clients["cloudformation"].describe_events(**of, Filters={"FailedEvents": True})
    except ClientError:
        return None
    events = sorted(answer["OperationEvents"], key=lambda event: event["Timestamp"])
    for event in events:
        # Events of earlier operations are listed as well.
        if event["EventType"] == "VALIDATION_ERROR" and event["OperationId"] == events[-1]["OperationId"]:
            reason = event.get("ValidationStatusReason", "no reason given")
            return ResourceFailure(event["LogicalResourceId"], event["ResourceType"], reason)
    return None


def _failure(event: Mapping[str, Any]) -> ResourceFailure:
    reason = event.get("ResourceStatusReason") or "no reason given"
    return ResourceFailure(event["LogicalResourceId"], event["ResourceType"], reason)


def settled(clients: Clients, name: str, progress: Progress) -> dict[str, Any] | None:
    """DescribeStacks once no operation of the stack is under way; None where there is no stack."""
    stack = described(clients, name)
    if stack and stack["StackStatus"].endswith("_IN_PROGRESS") and stack["StackStatus"] != "REVIEW_IN_PROGRESS":
        progress("Waiting for the stack's current operation")
        Watch(clients, stack["StackId"], progress).finish()
        stack = described(clients, name)
    return stack


def remove_stack(clients: Clients, stack_id: str, progress: Progress) -> str:
    """Delete a stack and wait for it; its last status."""
    watch = Watch(clients, stack_id, progress)
    clients["cloudformation"].delete_stack(StackName=stack_id)
    return watch.finish()
