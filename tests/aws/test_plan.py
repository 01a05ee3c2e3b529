"""A plan is read from CloudFormation's own answers, and says no where images or records could be lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from faraway import ACCOUNT, REGION, Cloud
from recorded import CALLER, CHANGE_SET, NO_CHANGES, STACK, change, change_set, stack

from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.stack.bundle import Bundle
from imgpipe.stack.deploy import objection
from imgpipe.stack.plan import Plan, Wanted, discard, propose
from imgpipe.stack.template import defaults, template_body

BUNDLE = Bundle(b"zip", "ab" * 32)
INPUT = f"imgpipe-prod-input-images-{ACCOUNT}-{REGION}"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:imgpipe-prod-jobs"

Propose = Callable[..., Plan]


@pytest.fixture
def proposed(cloud: Cloud) -> Propose:
    """Proposes the stage prod, once the answers are queued."""

    def call(bundle_for: Callable[[Mapping[str, str]], Bundle] = lambda _: BUNDLE, **wanted: Any) -> Plan:
        return propose(cloud.clients, Wanted(stage="prod", **{"parameters": {}, **wanted}), bundle_for, lambda _: None)

    return call


def no_stack(cloud: Cloud) -> None:
    message = "Stack with id imgpipe-prod does not exist"
    cloud.refuses("cloudformation", "describe_stacks", "ValidationError", message)


def reviewed(cloud: Cloud, *pages: dict[str, Any], stands: dict[str, Any] | None = None) -> None:
    """Queue what CloudFormation answers to a proposal: the stack as it stands, then the pages of the change set."""
    cloud.says("sts", "get_caller_identity", CALLER)
    if stands is None:
        no_stack(cloud)
    else:
        cloud.says("cloudformation", "describe_stacks", stands)
    cloud.says("cloudformation", "create_change_set", {"Id": CHANGE_SET, "StackId": STACK})
    for page in pages:
        cloud.says("cloudformation", "describe_change_set", page)


def test_a_first_deploy_is_proposed_with_the_names_written_out_so_that_kept_data_is_taken_in(
    cloud: Cloud, proposed: Propose
) -> None:
    reviewed(
        cloud,
        change_set(
            change("Import", "InputBucket", "AWS::S3::Bucket"),
            change("Import", "Table", "AWS::DynamoDB::Table"),
            change("Add", "Function", "AWS::Lambda::Function"),
        ),
    )
    plan = proposed(parameters={"MemorySize": "3008"}, tags={"team": "media"})
    assert plan.outcome == "import"
    assert [one.action for one in plan.changes] == ["Import", "Import", "Add"]
    assert objectionless(plan)
    request = cloud.request("CreateChangeSet")
    assert (request["ChangeSetType"], request["ImportExistingResources"]) == ("CREATE", True)
    assert request["DisableValidation"] is False
    assert f"BucketName: {INPUT}" in request["TemplateBody"]
    assert "TableName: imgpipe-prod-images" in request["TemplateBody"]
    sent = {one["ParameterKey"]: one["ParameterValue"] for one in request["Parameters"]}
    code = {"CodeBucket": f"imgpipe-artifacts-{ACCOUNT}-{REGION}", "CodeKey": f"{'ab' * 32}.zip"}
    assert sent == {"MemorySize": "3008", **code}
    assert request["Tags"] == [{"Key": "team", "Value": "media"}, {"Key": "imgpipe:stage", "Value": "prod"}]
    assert [(one.name, one.old, one.new) for one in plan.parameters] == [("MemorySize", None, "3008")]


def objectionless(plan: Plan) -> bool:
    from imgpipe.stack.plan import refusal

    return refusal(plan) is None


def test_without_a_file_the_stack_keeps_its_parameters_and_the_bundle_is_built_for_them(
    cloud: Cloud, proposed: Propose
) -> None:
    stands = stack("UPDATE_COMPLETE", {"MemorySize": "3008", "Architecture": "arm64", "CodeKey": "x", "Old": "y"})
    reviewed(cloud, change_set(change("Modify", "Function", "AWS::Lambda::Function", "False")), stands=stands)
    built_for: dict[str, str] = {}

    def build(parameters: Mapping[str, str]) -> Bundle:
        built_for.update(parameters)
        return BUNDLE

    plan = proposed(build, parameters={"LogRetentionDays": "90"}, keep=True)
    assert (plan.outcome, built_for["Architecture"], built_for["MemorySize"]) == ("update", "arm64", "3008")
    sent = cloud.request("CreateChangeSet")["Parameters"]
    previous = [one["ParameterKey"] for one in sent if one.get("UsePreviousValue")]
    assert sorted(previous) == ["Architecture", "MemorySize"]
    assert {one.name: one.kept for one in plan.parameters} == {
        "MemorySize": True,
        "Architecture": True,
        "LogRetentionDays": False,
    }


def test_with_a_file_what_it_does_not_say_is_the_templates_default(cloud: Cloud, proposed: Propose) -> None:
    stands = stack("UPDATE_COMPLETE", {"MemorySize": "3008", "CodeKey": "x"})
    reviewed(cloud, change_set(change("Modify", "Function", "AWS::Lambda::Function", "False")), stands=stands)
    plan = proposed(keep=False)
    assert [(one.name, one.old, one.new) for one in plan.parameters] == [("MemorySize", "3008", "1769")]
    sent = cloud.request("CreateChangeSet")["Parameters"]
    assert sorted(one["ParameterKey"] for one in sent) == ["CodeBucket", "CodeKey"]


def test_the_defaults_are_those_that_cloudformation_reads_in_the_template() -> None:
    from cfnlint.decode import decode_str

    parsed, _ = decode_str(template_body())
    declared = {name: one.get("Default") for name, one in parsed["Parameters"].items()}
    assert defaults(template_body()) == {
        name: None if value is None else str(value) for name, value in declared.items()
    }


@pytest.mark.parametrize("reason", NO_CHANGES)
def test_a_change_set_without_changes_means_unchanged_and_is_deleted(
    cloud: Cloud, proposed: Propose, reason: str
) -> None:
    reviewed(cloud, change_set(status="FAILED", reason=reason), stands=stack("UPDATE_COMPLETE"))
    cloud.says("cloudformation", "delete_change_set", {})
    plan = proposed()
    assert (plan.outcome, plan.changes, plan.change_set) == ("unchanged", (), None)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (change("Modify", "Table", "AWS::DynamoDB::Table", "True"), "replace Table"),
        (change("Modify", "InputBucket", "AWS::S3::Bucket", "Conditional", "Dynamic"), "replace InputBucket"),
        (change("Remove", "ThumbnailsBucket", "AWS::S3::Bucket"), "remove ThumbnailsBucket"),
    ],
)
def test_a_plan_that_could_lose_data_is_refused_unless_that_is_allowed(
    cloud: Cloud, proposed: Propose, changed: dict[str, Any], words: str
) -> None:
    harmless = change("Modify", "Function", "AWS::Lambda::Function", "True")
    pages = change_set(harmless, token="more"), change_set(changed)
    reviewed(cloud, *pages, stands=stack("UPDATE_COMPLETE"))
    plan = proposed()
    assert len(plan.changes) == 2
    refused = objection(cloud.clients, plan, replace_notifications=True)
    assert refused is not None
    assert (refused.code, refused.status) == ("would_replace", ExitStatus.REFUSED)
    assert words in refused.message
    assert "Function" not in refused.message
    assert objection(cloud.clients, plan, allow_replace=True, replace_notifications=True) is None


@pytest.mark.parametrize("action", ["Import", "Modify"])
def test_a_bucket_that_notifies_others_is_not_taken_from_them_unasked(
    cloud: Cloud, proposed: Propose, action: str
) -> None:
    replacement = "False" if action == "Modify" else ""
    reviewed(
        cloud,
        change_set(change(action, "InputBucket", "AWS::S3::Bucket", replacement)),
        stands=stack("UPDATE_COMPLETE") if action == "Modify" else None,
    )
    theirs = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:theirs"
    cloud.says(
        "s3",
        "get_bucket_notification_configuration",
        {
            "QueueConfigurations": [{"QueueArn": QUEUE, "Events": ["s3:ObjectCreated:*"]}],
            "LambdaFunctionConfigurations": [{"LambdaFunctionArn": theirs, "Events": ["s3:ObjectCreated:*"]}],
            "EventBridgeConfiguration": {},
        },
    )
    plan = proposed()
    refused = objection(cloud.clients, plan)
    assert refused is not None
    assert (refused.code, refused.status) == ("foreign_notifications", ExitStatus.REFUSED)
    assert f"{theirs}, EventBridge" in refused.message
    assert QUEUE not in refused.message
    assert cloud.request("GetBucketNotificationConfiguration")["ExpectedBucketOwner"] == ACCOUNT
    assert objection(cloud.clients, plan, replace_notifications=True) is None


def test_a_bucket_that_notifies_only_our_queue_is_ours(cloud: Cloud, proposed: Propose) -> None:
    reviewed(cloud, change_set(change("Import", "InputBucket", "AWS::S3::Bucket")))
    ours = {"QueueConfigurations": [{"QueueArn": QUEUE, "Events": ["s3:ObjectCreated:*"]}]}
    cloud.says("s3", "get_bucket_notification_configuration", ours)
    assert objection(cloud.clients, proposed()) is None


def test_a_plan_that_is_dropped_leaves_neither_a_change_set_nor_the_shell_of_a_stack(
    cloud: Cloud, proposed: Propose
) -> None:
    reviewed(cloud, change_set(change("Add", "Function", "AWS::Lambda::Function")))
    cloud.says("cloudformation", "delete_change_set", {})
    cloud.says("cloudformation", "describe_stacks", stack("REVIEW_IN_PROGRESS"))
    cloud.says("cloudformation", "delete_stack", {})
    no_stack(cloud)
    discard(cloud.clients, proposed())
    assert cloud.request("DeleteStack")["StackName"] == STACK


def test_what_cloudformation_finds_wrong_beforehand_is_said_with_the_resource(cloud: Cloud, proposed: Propose) -> None:
    failed = "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]."
    reviewed(cloud, change_set(status="FAILED", reason=failed))
    event = {
        "EventId": "1",
        "StackId": STACK,
        "OperationId": "2",
        "OperationType": "CREATE_CHANGESET",
        "EventType": "VALIDATION_ERROR",
        "LogicalResourceId": "LogGroup",
        "PhysicalResourceId": "",
        "ResourceType": "AWS::Logs::LogGroup",
        "Timestamp": datetime(2026, 3, 1, tzinfo=UTC),
        "ValidationFailureMode": "FAIL",
        "ValidationName": "NAME_CONFLICT_VALIDATION",
        "ValidationStatus": "FAILED",
        "ValidationStatusReason": "Resource of type 'AWS::Logs::LogGroup' with identifier 'x' already exists.",
        "ValidationPath": "/Resources/LogGroup",
    }
    cloud.says("cloudformation", "describe_events", {"OperationEvents": [event]})
    cloud.says("cloudformation", "delete_change_set", {})
    no_stack(cloud)
    with pytest.raises(ImgpipeError, match=r"LogGroup \(AWS::Logs::LogGroup\): .* already exists") as refusal:
        proposed()
    assert (refusal.value.code, refusal.value.status) == ("deploy_refused", ExitStatus.FAILED)


def test_a_missing_permission_is_named(cloud: Cloud, proposed: Propose) -> None:
    from imgpipe.failures import explain

    cloud.says("sts", "get_caller_identity", CALLER)
    no_stack(cloud)
    said = (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/deployer/ada is not authorized to perform: "
        f"cloudformation:CreateChangeSet on resource: {STACK} because no identity-based policy allows it"
    )
    cloud.refuses("cloudformation", "create_change_set", "AccessDenied", said, 403)
    with pytest.raises(Exception, match="AccessDenied") as failure:
        proposed()
    explained = explain(failure.value)
    assert explained.code == "access_denied"
    assert f"cloudformation:CreateChangeSet on {STACK}" in explained.hint
