"""What a deploy would do: a change set that CloudFormation worked out, read before anybody executes it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from imgpipe.aws import Clients
from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.failures import missing_permission
from imgpipe.stack.artifacts import code_key
from imgpipe.stack.bundle import Bundle
from imgpipe.stack.names import Identity, artifact_bucket, identity, stack_name
from imgpipe.stack.recovery import REMAINS, STUCK, condition, stuck
from imgpipe.stack.template import defaults, template_body, with_literal_names
from imgpipe.stack.waiting import LONGEST_OPERATION, described, error_code, poll, settled, validation_failure
from imgpipe.targets.base import Progress

DATA = frozenset({"AWS::S3::Bucket", "AWS::DynamoDB::Table"})
"""Types of resources that hold what nobody could make again."""

_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_CODE = ("CodeBucket", "CodeKey")
_GONE = 30.0  # seconds for CloudFormation to forget a stack that was never made


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a change set, in CloudFormation's words.

    `action` is Add, Modify, Remove, Import or, where it depends on what another change does, Dynamic. `replacement` is
    True, False or Conditional.
    """

    action: str
    logical_id: str
    type: str
    replacement: str = "False"

    @property
    def holds_data(self) -> bool:
        """Whether the resource holds what nobody could make again."""
        return self.type in DATA

    @property
    def loses_data(self) -> bool:
        """Whether the pipeline may lose what the resource holds: it is removed, or a new one takes its place."""
        return self.holds_data and (self.action in ("Remove", "Dynamic") or self.replacement != "False")


@dataclass(frozen=True, slots=True)
class ParameterChange:
    """A parameter of the template from one deploy to the next.

    `old` is None where the stack had no such parameter. `kept` is a value of the stack's that nobody asked for now and
    that is not the template's default.
    """

    name: str
    old: str | None
    new: str
    kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the stage's stack should be.

    `parameters` are the template's by name, without those of the code. One that is left out has the value that the
    stack has where `keep` is set, else the template's default.
    """

    stage: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str] = field(default_factory=dict)
    keep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done, and what is needed to do it.

    `change_set` is None where nothing would change, and where remains of a failed deploy have to go first: then
    `changes` are not known. `stack_id` is the stack's, or that of the shell that proposing made. `effective` are all
    parameters with the values that they would have.
    """

    stage: str
    owner: Identity
    outcome: Literal["create", "import", "update", "unchanged"]
    changes: tuple[Change, ...] = ()
    parameters: tuple[ParameterChange, ...] = ()
    effective: Mapping[str, str]
    bundle: Bundle
    change_set: str | None = None
    stack_id: str | None = None

    @property
    def creates(self) -> bool:
        """Whether there is no stack yet."""
        return self.outcome in ("create", "import")


def propose(
    clients: Clients, wanted: Wanted, bundle_for: Callable[[Mapping[str, str]], Bundle], progress: Progress
) -> Plan:
    """Let CloudFormation work out what would change. Uploads nothing; what it leaves behind is a change set.

    `bundle_for` makes the code for the parameters that the function would have. Raises ImgpipeError where the stack
    cannot be changed as it stands, or where CloudFormation does not accept the proposal.
    """
    name, region = stack_name(wanted.stage), clients.connection.region
    owner = identity(clients)
    stack = settled(clients, name, progress)
    standing = condition(clients, stack)
    if stack and standing is STUCK:
        raise stuck(clients, stack)
    previous = _previous(stack) if standing not in (None, REMAINS) else None
    body = template_body()
    known = {one: value for one, value in defaults(body).items() if one not in _CODE}
    effective, sent = _parameters(wanted, known, previous)
    bundle = bundle_for(effective)
    plan = Plan(
        stage=wanted.stage,
        owner=owner,
        outcome="create" if previous is None else "update",
        parameters=_parameter_changes(effective, known, previous, sent),
        effective=effective,
        bundle=bundle,
    )
    if standing is REMAINS:
        return plan
    progress("Comparing the stack with its template")
    code = {"CodeBucket": artifact_bucket(owner.account, region), "CodeKey": code_key(bundle)}
    tags = {**wanted.tags, "imgpipe:stage": wanted.stage}
    return _proposed(
        clients,
        plan,
        {
            "StackName": name,
            "ChangeSetName": f"imgpipe-{uuid.uuid4().hex}",
            "ChangeSetType": "CREATE" if previous is None else "UPDATE",
            "TemplateBody": with_literal_names(body, name, owner.account, region),
            "Parameters": [*sent, *({"ParameterKey": one, "ParameterValue": value} for one, value in code.items())],
            "Capabilities": ["CAPABILITY_IAM"],
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            # Buckets and table outlive a stack that is deleted by hand, and the next one takes them in.
            "ImportExistingResources": previous is None,
            # The engine takes the names that it would import for names that are taken.
            "DisableValidation": clients.connection.endpoint_url is not None,
        },
    )


def discard(clients: Clients, plan: Plan) -> None:
    """Delete what proposing left behind: the change set and, of a stack that was never made, its shell."""
    if plan.change_set:
        _discard(clients, plan.change_set, plan.stack_id if plan.creates else None)


def refusal(plan: Plan) -> ImgpipeError | None:
    """Why the plan is not to be executed unasked: images or records could be lost to the pipeline."""
    lost = [one for one in plan.changes if one.loses_data]
    if not lost:
        return None
    words = [f"{'remove' if one.action == 'Remove' else 'replace'} {one.logical_id}" for one in lost]
    return ImgpipeError(
        "would_replace",
        f"This change would {' and '.join(words)}, which hold{'s' * (len(lost) == 1)} data; the pipeline would go on "
        "without it.",
        "imgpipe up --allow-replace, once there is a copy",
        ExitStatus.REFUSED,
    )


def _previous(stack: Mapping[str, Any] | None) -> dict[str, str] | None:
    if stack is None:
        return None
    return {one["ParameterKey"]: one.get("ParameterValue", "") for one in stack.get("Parameters", ())}


def _parameters(
    wanted: Wanted, known: Mapping[str, str | None], previous: Mapping[str, str] | None
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Every parameter's value, and those that CloudFormation has to be told."""
    effective = {name: default or "" for name, default in known.items()}
    sent: list[dict[str, Any]] = []
    for name in {**known, **wanted.parameters}:
        if (value := wanted.parameters.get(name)) is not None:
            sent.append({"ParameterKey": name, "ParameterValue": value})
            effective[name] = value
        elif wanted.keep and previous is not None and name in previous:
            sent.append({"ParameterKey": name, "UsePreviousValue": True})
            effective[name] = previous[name]
    return effective, sent


def _parameter_changes(
    effective: Mapping[str, str],
    known: Mapping[str, str | None],
    previous: Mapping[str, str] | None,
    sent: Iterable[Mapping[str, Any]],
) -> tuple[ParameterChange, ...]:
    kept = {one["ParameterKey"] for one in sent if one.get("UsePreviousValue")}
    found = []
    for name, new in effective.items():
        # What is not set on a first deploy, and what an older template had no word for, was the default.
        old = None if previous is None else previous.get(name)
        if name in kept and new != known.get(name):
            found.append(ParameterChange(name, old, new, kept=True))
        elif new != (known.get(name) if old is None else old):
            found.append(ParameterChange(name, old, new))
    return tuple(found)


def _proposed(clients: Clients, plan: Plan, request: dict[str, Any]) -> Plan:
    from botocore.exceptions import ClientError

    creating = request["ChangeSetType"] == "CREATE"
    try:
        made = clients["cloudformation"].create_change_set(**request)
    except ClientError as error:
        if error_code(error) != "ValidationError":
            raise
        raise _refused(plan.stage, error.response["Error"]["Message"]) from error
    change_set, stack_id = made["Id"], made["StackId"]
    try:
        changes = _review(clients, plan.stage, change_set)
    except BaseException:  # Ctrl-C as well: a change set that nobody executes is litter
        _discard(clients, change_set, stack_id if creating else None)
        raise
    if changes is None:
        _discard(clients, change_set, None)
        return replace(plan, outcome="unchanged", stack_id=stack_id)
    imports = any(one.action == "Import" for one in changes)
    outcome: Literal["import", "create", "update"] = "update"
    if creating:
        outcome = "import" if imports else "create"
    return replace(plan, outcome=outcome, changes=changes, change_set=change_set, stack_id=stack_id)


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
    changes = (line["ResourceChange"] for line in lines if "ResourceChange" in line)
    return tuple(
        Change(one["Action"], one["LogicalResourceId"], one["ResourceType"], one.get("Replacement") or "False")
        for one in changes
    )


def _discard(clients: Clients, change_set: str, shell: str | None) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    def gone() -> bool | None:
        return True if described(clients, shell or "") is None else None

    try:
        clients["cloudformation"].delete_change_set(ChangeSetName=change_set)
        if shell and (stack := described(clients, shell)) and stack["StackStatus"] == "REVIEW_IN_PROGRESS":
            clients["cloudformation"].delete_stack(StackName=shell)
            poll(gone, _GONE)
    except (BotoCoreError, ClientError):
        return  # nothing is lost: the next deploy takes no notice of either


def _refused(stage: str, reason: str) -> ImgpipeError:
    hint = "imgpipe up"
    if "already exists" in reason or "already exist " in reason:
        hint = "imgpipe down, which counts what is there and asks; or delete what is in the way"
    elif permission := missing_permission(reason):
        hint = f"let these credentials {permission}, then imgpipe up"
    return ImgpipeError(
        "deploy_refused", f"CloudFormation does not accept the stack {stack_name(stage)}: {reason}", hint
    )
