"""Answers of CloudFormation in the shapes that AWS gives them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from faraway import ACCOUNT, REGION

STACK = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/imgpipe-prod/4f2a7b10-0000-11ef-9c3a-0a1b2c3d4e5f"
CHANGE_SET = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:changeSet/imgpipe-0/5a6b7c8d-0000-11ef-9c3a-0a1b2c3d4e5f"
_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a change set.",
    "No updates are to be performed.",
)

CALLER = {"Account": ACCOUNT, "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/ada", "UserId": "AROA:ada"}


def stack(status: str, parameters: dict[str, str] | None = None, reason: str = "") -> dict[str, Any]:
    """DescribeStacks."""
    found: dict[str, Any] = {
        "StackId": STACK,
        "StackName": "imgpipe-prod",
        "CreationTime": _NOON,
        "StackStatus": status,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in (parameters or {}).items()],
        "DisableRollback": False,
        "Tags": [{"Key": "imgpipe:stage", "Value": "prod"}],
        "EnableTerminationProtection": False,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }
    if reason:
        found["StackStatusReason"] = reason
    return {"Stacks": [found]}


def change(
    action: str, logical_id: str, type: str, replacement: str = "", evaluation: str = "Static"
) -> dict[str, Any]:
    """One of the Changes of DescribeChangeSet."""
    resource: dict[str, Any] = {
        "Action": action,
        "LogicalResourceId": logical_id,
        "ResourceType": type,
        "Scope": [],
        "Details": [],
    }
    if action != "Add":
        resource["PhysicalResourceId"] = f"imgpipe-prod-{logical_id.lower()}"
    if replacement:
        recreation = {"True": "Always", "Conditional": "Conditionally", "False": "Never"}[replacement]
        target = {"Attribute": "Properties", "Name": "Name", "RequiresRecreation": recreation}
        detail = {"Target": target, "Evaluation": evaluation, "ChangeSource": "DirectModification"}
        resource |= {"Replacement": replacement, "Scope": ["Properties"], "Details": [detail]}
    return {"Type": "Resource", "ResourceChange": resource}


def change_set(
    *changes: dict[str, Any], status: str = "CREATE_COMPLETE", reason: str = "", token: str = ""
) -> dict[str, Any]:
    """DescribeChangeSet."""
    complete = status == "CREATE_COMPLETE"
    found: dict[str, Any] = {
        "ChangeSetName": "imgpipe-0",
        "ChangeSetId": CHANGE_SET,
        "StackId": STACK,
        "StackName": "imgpipe-prod",
        "CreationTime": _NOON,
        "ExecutionStatus": "AVAILABLE" if complete else "UNAVAILABLE",
        "Status": status,
        "NotificationARNs": [],
        "RollbackConfiguration": {},
        "Capabilities": ["CAPABILITY_IAM"],
        "Changes": list(changes),
        "IncludeNestedStacks": False,
    }
    return found | ({"StatusReason": reason} if reason else {}) | ({"NextToken": token} if token else {})


def events(*happened: tuple[str, str, str]) -> dict[str, Any]:
    """DescribeStackEvents, newest first, of (logical id, status, reason) in the order in which they happened."""
    found = []
    for number, (logical_id, status, reason) in enumerate(happened):
        whole = logical_id == "imgpipe-prod"
        event: dict[str, Any] = {
            "StackId": STACK,
            "EventId": f"{logical_id}-{status}-{number}",
            "StackName": "imgpipe-prod",
            "LogicalResourceId": logical_id,
            "PhysicalResourceId": STACK if whole else "",
            "ResourceType": "AWS::CloudFormation::Stack" if whole else f"AWS::Test::{logical_id}",
            "Timestamp": _NOON + timedelta(seconds=number),
            "ResourceStatus": status,
        }
        found.append(event | ({"ResourceStatusReason": reason} if reason else {}))
    return {"StackEvents": found[::-1]}
