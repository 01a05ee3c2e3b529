"""The IAM policies grant what is used and nothing else: the function's, the resources', and the deployer's."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from security import policies
from security.policies import Statement

import image_pipeline
import imgpipe

CATALOGUE: dict[str, Any] = json.loads(
    files("cfnlint.data").joinpath("AdditionalSpecs", "Policies.json").read_text(encoding="utf-8")
)
"""IAM's own list of actions, as cfn-lint carries it: service prefix → action in lower case."""

# What the AWS SDK calls by one name and IAM by another.
RENAMED = {
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketNotificationConfiguration": "s3:PutBucketNotification",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:SendMessageBatch": "sqs:SendMessage",
}
PREFIX = {"service-quotas": "servicequotas"}

NOT_NEEDED = {
    # Handlers of CloudFormation ask for whatever any template may use; these belong to what this one does not.
    r"s3:.*(Abac|Acl|Accelerate|Analytics|CORS|Cors|Intelligent|Inventory|Logging|ObjectLock|Website)": "",
    r"s3:.*(Metadata|Metrics)": "",
    r"s3:(Put.*Replication|DeleteBucket(Encryption|Lifecycle|Replication)|REST)": "",
    r"(ec2|elasticfilesystem|firehose|kinesis|s3files|s3tables):": "",
    r"dynamodb:.*(Replica|Import|Kinesis|Insights|TimeToLive)": "",
    r"dynamodb:((BatchWrite|Put|Update)Item|(Put|Delete)ResourcePolicy)": "",
    r"iam:(Attach|Detach)RolePolicy": "the role has no managed policies",
    r"iam:CreateServiceLinkedRole": "for tables in several regions",
    r"iam:DeleteRolePermissionsBoundary": "to take a boundary away is for an administrator",
    r"kms:": "only with KmsKeyArn; docs/aws-checklist.md has the statement",
    r"lambda:.*(PutFunction|DeleteFunctionC|PutRuntime|Layer|Capacity|RuntimeAlias|PublishVersion|GetCodeSigning)": "",
    r"logs:(Put|Delete)(BearerToken|DataProtection|Index|Resource|LogGroupDeletion)": "",
    r"logs:(Create(LogDelivery|LogStream)|PutLogEvents|DescribeLogStreams|.*ssociateKmsKey)": "",
    r"sns:PutDataProtectionPolicy": "",
}

OPTIONAL = {"iam:SimulatePrincipalPolicy": "`doctor` says that it was left out"}


def statements(parameters: dict[str, str] | None = None) -> list[Statement]:
    template = policies.resolved(parameters or policies.EVERYTHING)
    return [one for where, document in policies.documents(template) for one in policies.statements(where, document)]


def grants() -> list[Statement]:
    return [one for one in statements() if one.effect == "Allow"]


def deployer() -> list[Statement]:
    text = (policies.ROOT / "docs" / "deployer-policy.json").read_text(encoding="utf-8")
    return policies.statements("deployer", json.loads(text))


def exists(action: str) -> bool:
    service, _, name = action.partition(":")
    known = CATALOGUE.get(service.lower(), {}).get("Actions", {})
    return any(fnmatch(one, name.lower()) for one in known)


def calls(package: Any, *services: str) -> set[str]:
    """The IAM actions of every AWS call that is written in a package."""
    session = botocore.session.get_session()
    named = {
        xform_name(operation): f"{PREFIX.get(service, service)}:{operation}"
        for service in services
        for operation in session.get_service_model(service).operation_names
    }
    found = {named[name] for name in _names(Path(package.__file__).parent) if name in named}
    return {RENAMED.get(one, one) for one in found}


def _names(folder: Path) -> Iterator[str]:
    """Every attribute, and every operation that a paginator or waiter is asked for; not in the emulator's engine."""
    for path in folder.rglob("*.py"):
        if "engine" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Attribute(attr=name):
                    yield name
                case ast.Call(func=ast.Attribute(attr="get_paginator" | "get_waiter"), args=[ast.Constant(value=name)]):
                    yield name


def test_the_catalogue_of_actions_tells_a_real_one_from_a_misspelt_one() -> None:
    assert exists("s3:GetObject")
    assert exists("s3:GetBucket*")
    assert not exists("s3:GetObjekt")
    assert not exists("sss:GetObject")


def test_what_the_template_grants_is_named_action_by_action_and_exists() -> None:
    actions = {action for one in grants() for action in one.actions}
    assert {one for one in actions if "*" in one or not exists(one)} == set()


def test_nothing_is_granted_to_everybody_or_on_everything() -> None:
    for one in grants():
        assert one.principal is None or one.principal.keys() == {"Service"}, one
        assert all("imgpipe-prod" in resource or resource == policies.KEY for resource in one.resources), one


def test_a_service_may_act_for_this_stack_of_this_account_only() -> None:
    """Without both conditions anybody's bucket or alarm could speak through the service: the confused deputy."""
    for one in grants():
        if one.principal and one.actions != ["sts:AssumeRole"]:
            conditions = {key: value for operator in one.condition.values() for key, value in operator.items()}
            assert conditions["aws:SourceAccount"] == policies.PLACE["AWS::AccountId"]
            assert "imgpipe-prod-" in conditions["aws:SourceArn"]


def test_only_lambda_takes_the_functions_role() -> None:
    [trust] = [one for one in statements() if "sts:AssumeRole" in one.actions]
    assert (trust.where, trust.principal) == ("FunctionRole", {"Service": "lambda.amazonaws.com"})


def test_the_role_grants_exactly_the_calls_of_the_code() -> None:
    granted = {action for one in grants() if one.where == "FunctionRole" for action in one.actions}
    by_the_code = calls(image_pipeline, "s3", "sqs", "dynamodb", "lambda", "logs", "cloudwatch", "sns", "kms", "ssm")
    by_the_queue = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
    by_the_runtime = {"logs:CreateLogStream", "logs:PutLogEvents", "sts:AssumeRole"}
    # Without it a key that is not there is a 403. The key's two are S3's and DynamoDB's, on the role's behalf.
    implied = {"s3:ListBucket", "kms:Decrypt", "kms:GenerateDataKey"}
    assert granted == by_the_code | by_the_queue | by_the_runtime | implied
    assert len(by_the_code) >= 7


def test_without_a_key_nothing_of_kms_is_granted() -> None:
    default = [action for one in statements({"KmsKeyArn": ""}) for action in one.actions]
    assert [one for one in default if one.startswith("kms:")] == []


def test_what_a_deployer_is_given_exists_and_is_about_imgpipe() -> None:
    for one in deployer():
        assert all(exists(action) for action in one.actions), [a for a in one.actions if not exists(a)]
        assert one.actions == sorted(one.actions)
        wide = [action for action in one.actions if "*" in action]
        assert all(re.match(r"\w+:(Get|Describe)", action) for action in wide)
        if one.resources == ["*"]:
            reading = all(re.match(r"\w+:(Get|List|Describe)", action) for action in one.actions)
            assert reading or one.condition, one
        else:
            assert all("imgpipe-" in resource or "event-source-mapping" in resource for resource in one.resources)


def test_a_deployers_policy_fits_into_a_managed_policy() -> None:
    text = (policies.ROOT / "docs" / "deployer-policy.json").read_text(encoding="utf-8")
    assert len("".join(text.split())) <= 6144


def _allowed(action: str) -> bool:
    return any(fnmatch(action, pattern) for one in deployer() for pattern in one.actions)


def test_a_deployer_may_make_every_call_of_the_command_line() -> None:
    services = (
        "cloudformation",
        "cloudwatch",
        "dynamodb",
        "iam",
        "lambda",
        "logs",
        "s3",
        "service-quotas",
        "sns",
        "sqs",
    )
    made = calls(imgpipe, *services) - {"lambda:Invoke"}  # Commands.invoke is Typer's
    assert {one for one in made if not _allowed(one)} == OPTIONAL.keys()
    assert len(made) > 40


@pytest.mark.parametrize(
    "kind", sorted({one["Type"] for one in policies.resolved(policies.EVERYTHING)["Resources"].values()})
)
def test_a_deployer_may_do_what_cloudformation_does_in_their_name(kind: str) -> None:
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
    asked = {one for name, handler in handlers.items() if name != "list" for one in handler["permissions"]}
    needed = {one for one in asked if not any(re.match(pattern, one) for pattern in NOT_NEEDED)}
    assert needed
    assert {one for one in needed if not _allowed(one)} == set()
