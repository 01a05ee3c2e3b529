"""What the template asks for is what is there, and what it forbids is refused."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
import zipfile
from typing import TYPE_CHECKING, Any

import pictures
import pytest

if TYPE_CHECKING:
    from contract.stage import Stage


@pytest.mark.promise("The input bucket is versioned, and no bucket is public")
def test_buckets_are_private(stage: Stage) -> None:
    s3, names = stage.clients["s3"], stage.outputs
    assert s3.get_bucket_versioning(Bucket=names.input_bucket)["Status"] == "Enabled"
    for bucket in names.buckets:
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert len(block) == 4
        assert all(block.values())


@pytest.mark.promise("Buckets and queues are encrypted")
def test_encryption_at_rest(stage: Stage) -> None:
    for bucket in stage.outputs.buckets:
        answer = stage.clients["s3"].get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
        assert answer["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    for url in (stage.outputs.jobs_queue_url, stage.outputs.dead_letter_queue_url):
        assert attribute(stage, url, "SqsManagedSseEnabled") == "true"


def attribute(stage: Stage, url: str, name: str) -> str:
    answer = stage.clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return str(answer["Attributes"][name])


@pytest.mark.promise("Policies that demand TLS are attached to buckets, queues and topic")
def test_tls_only_policies_are_attached(stage: Stage) -> None:
    s3, sns, names = stage.clients["s3"], stage.clients["sns"], stage.outputs
    policies = [s3.get_bucket_policy(Bucket=bucket)["Policy"] for bucket in names.buckets]
    policies += [attribute(stage, url, "Policy") for url in (names.jobs_queue_url, names.dead_letter_queue_url)]
    policies.append(sns.get_topic_attributes(TopicArn=names.topic)["Attributes"]["Policy"])
    for policy in policies:
        denials = [one for one in json.loads(policy)["Statement"] if one["Effect"] == "Deny"]
        assert [one["Condition"] for one in denials] == [{"Bool": {"aws:SecureTransport": "false"}}]


@pytest.mark.promise("Old versions of images expire (lifecycle rules)")
def test_lifecycle_rules(stage: Stage) -> None:
    s3, names = stage.clients["s3"], stage.outputs
    rules = {one["ID"]: one for one in s3.get_bucket_lifecycle_configuration(Bucket=names.input_bucket)["Rules"]}
    assert rules["forget-noncurrent-versions"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    assert rules["abort-incomplete-uploads"]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7


@pytest.mark.promise("The table has point-in-time recovery")
def test_point_in_time_recovery(stage: Stage) -> None:
    answer = stage.clients["dynamodb"].describe_continuous_backups(TableName=stage.outputs.table)
    recovery = answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"


@pytest.mark.promise("The log is kept for 30 days (retention)")
def test_log_retention(stage: Stage) -> None:
    groups = stage.clients["logs"].describe_log_groups(logGroupNamePrefix=stage.outputs.log_group)["logGroups"]
    assert [one.get("retentionInDays") for one in groups] == [30]


@pytest.mark.promise("The dashboard is made where the configuration asks for it")
def test_dashboard(stage: Stage) -> None:
    body = stage.clients["cloudwatch"].get_dashboard(DashboardName=stage.stack)["DashboardBody"]
    assert len(json.loads(body)["widgets"]) >= 6


@pytest.mark.promise("A request without TLS is refused")
def test_tls_is_demanded(stage: Stage) -> None:
    stage.ready("secret.jpg", picture())
    place = {"Bucket": stage.outputs.input_bucket, "Key": "secret.jpg"}
    url = stage.clients["s3"].generate_presigned_url("get_object", Params=place, ExpiresIn=60)
    try:
        with urllib.request.urlopen(url.replace("https://", "http://"), timeout=30) as answer:  # noqa: S310
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    assert status == 403


def picture() -> bytes:
    return pictures.saved(pictures.scene(60, 40), "JPEG")


@pytest.mark.promise("The function can do only what its role allows (IAM)")
def test_the_role_is_enforced(stage: Stage) -> None:
    functions, iam = stage.clients["lambda"], stage.clients["iam"]
    arn = functions.get_function_configuration(FunctionName=stage.outputs.function)["Role"]
    policy = {"RoleName": arn.rpartition("/")[2], "PolicyName": "contract-denies-writing"}
    denial = {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"}
    iam.put_role_policy(**policy, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [denial]}))

    def denied() -> bool:
        """Whether an image waits for permission; IAM takes a while to hear of a policy."""
        file = stage.file("denied.jpg", picture())
        return stage.imgpipe("upload", "--timeout", "10", file).status == 3

    try:
        assert stage.soon(denied)
    finally:
        iam.delete_role_policy(**policy)


GREEDY = """
def handler(event, context):
    return len(bytearray(400_000_000))
"""


@pytest.mark.promise("A function that needs more memory than it has is stopped")
def test_memory_is_limited(stage: Stage) -> None:
    functions = stage.clients["lambda"]
    own = functions.get_function_configuration(FunctionName=stage.outputs.function)
    name = f"{stage.stack}-greedy"
    functions.create_function(
        FunctionName=name,
        Runtime=own["Runtime"],
        Role=own["Role"],
        Handler="greedy.handler",
        MemorySize=128,
        Timeout=30,
        Code={"ZipFile": zipped(greedy=GREEDY)},
    )
    try:
        functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        answer: dict[str, Any] = functions.invoke(FunctionName=name)
        assert "FunctionError" in answer
    finally:
        functions.delete_function(FunctionName=name)


def zipped(**modules: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, source in modules.items():
            archive.writestr(f"{name}.py", source)
    return file.getvalue()
