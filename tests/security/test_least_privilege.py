"""The function's role, held to by an emulator that enforces IAM: it is enough, and no action of it is too much.

Every grant is taken away once, and the image's life must fail at the call that the grant is for, and at no other. What
the emulator does not enforce is not claimed here: its own poller and log writer act without the role, so what Lambda
needs of SQS is tried directly; and a root user may assume any role, which AWS refuses.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from security.enforcing import REGION
from security.lives import FOREIGN, STAGE, Grant, Lives, Place, grants, picture, switch, without

from image_pipeline.record import Refusal, Status
from imgpipe.stack.names import Names
from imgpipe.stack.waiting import poll

pytestmark = pytest.mark.usefixtures("whole_role")

NAMES = Names.of(STAGE, "000000000000", REGION)


class Harm(NamedTuple):
    """What one missing grant does: the step of a life that it spoils, the calls that are refused, the log, the row."""

    step: str
    refused: set[str]
    log: str
    status: Status | None = None
    acknowledged: bool = False


HARMS: dict[Grant, Harm] = {
    # HEAD needs the same permission as GET.
    ("s3:GetObject", "input-images"): Harm(
        "upload", {"GetObject", "HeadObject"}, "S3 answered AccessDenied.", Status.FAILED
    ),
    # What is gone cannot be told from what is forbidden, so the row must stay.
    ("s3:ListBucket", "input-images"): Harm(
        "delete", {"GetObject", "HeadObject"}, "S3 answered AccessDenied.", Status.FAILED
    ),
    ("s3:PutObject", "resized-images"): Harm("upload", {"PutObject"}, "PutObject failed: AccessDenied"),
    ("s3:PutObject", "thumbnails"): Harm("upload", {"PutObject"}, "PutObject failed: AccessDenied"),
    ("s3:DeleteObject", "resized-images"): Harm("overwrite", {"DeleteObject"}, "could not be deleted", Status.READY),
    ("s3:DeleteObject", "thumbnails"): Harm("overwrite", {"DeleteObject"}, "could not be deleted", Status.READY),
    ("dynamodb:GetItem", "images"): Harm("upload", {"GetItem"}, "GetItem failed: AccessDeniedException"),
    ("dynamodb:PutItem", "images"): Harm("upload", {"PutItem"}, "The commit failed: AccessDeniedException"),
    ("dynamodb:DeleteItem", "images"): Harm(
        "delete", {"DeleteItem"}, "The commit failed: AccessDeniedException", Status.READY
    ),
    ("sqs:ChangeMessageVisibility", "jobs"): Harm(
        "upload",
        {"ChangeMessageVisibility"},
        "The visibility timeout could not be changed",
        Status.READY,
        acknowledged=True,
    ),
}
"""Every grant that the handler itself uses."""

POLLER: dict[Grant, tuple[str, dict[str, Any]]] = {
    ("sqs:ReceiveMessage", "jobs"): ("receive_message", {}),
    ("sqs:DeleteMessage", "jobs"): ("delete_message", {"ReceiptHandle": "RECEIPT"}),
    ("sqs:GetQueueAttributes", "jobs"): ("get_queue_attributes", {"AttributeNames": ["QueueArn"]}),
}
"""What Lambda does in the role's name: the call, and its parameters besides the queue."""

UNTRIED: set[Grant] = {("logs:CreateLogStream", "process:*"), ("logs:PutLogEvents", "process:*")}
"""AWS asks for these on the stream (…:log-stream:NAME), the emulator on the bare group, which `:*` does not match."""

_EMPTY = json.dumps({"Version": "2012-10-17", "Statement": []})
_ROW = {"Key": {"image_key": {"S": "a"}}}
_FAILED = {"KeyConditionExpression": "failed = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}}
BEYOND: dict[str, tuple[str, str, dict[str, Any]]] = {
    "list the images": ("s3", "list_object_versions", {"Bucket": NAMES.input_bucket}),
    "read an old version": ("s3", "get_object", {"Bucket": NAMES.input_bucket, "Key": "a", "VersionId": "1"}),
    "write an image": ("s3", "put_object", {"Bucket": NAMES.input_bucket, "Key": "a"}),
    "delete an image": ("s3", "delete_object", {"Bucket": NAMES.input_bucket, "Key": "a"}),
    "read a rendition": ("s3", "get_object", {"Bucket": NAMES.resized_bucket, "Key": "a"}),
    "list the renditions": ("s3", "list_objects_v2", {"Bucket": NAMES.resized_bucket}),
    "open a bucket": ("s3", "put_bucket_policy", {"Bucket": NAMES.input_bucket, "Policy": _EMPTY}),
    "read another bucket": ("s3", "get_object", {"Bucket": FOREIGN, "Key": "a"}),
    "write to another bucket": ("s3", "put_object", {"Bucket": FOREIGN, "Key": "a"}),
    "list the buckets": ("s3", "list_buckets", {}),
    "scan the table": ("dynamodb", "scan", {"TableName": NAMES.table}),
    "query an index": ("dynamodb", "query", {"TableName": NAMES.table, "IndexName": "failed", **_FAILED}),
    "change a row in place": ("dynamodb", "update_item", {"TableName": NAMES.table, **_ROW}),
    "read another table": ("dynamodb", "get_item", {"TableName": FOREIGN, **_ROW}),
    "drop the table": ("dynamodb", "delete_table", {"TableName": NAMES.table}),
    "send a job": ("sqs", "send_message", {"QueueUrl": "JOBS", "MessageBody": "a"}),
    "purge the queue": ("sqs", "purge_queue", {"QueueUrl": "JOBS"}),
    "read the dead letters": ("sqs", "receive_message", {"QueueUrl": "DEAD LETTERS"}),
    "read the log": ("logs", "filter_log_events", {"logGroupName": NAMES.log_group}),
    "make a log group": ("logs", "create_log_group", {"logGroupName": "another"}),
    "widen its own role": ("iam", "put_role_policy", {"RoleName": "ROLE", "PolicyName": "a", "PolicyDocument": _EMPTY}),
    "change its own code": ("lambda", "update_function_code", {"FunctionName": NAMES.function, "ZipFile": b"a"}),
    "read its own settings": ("lambda", "get_function", {"FunctionName": NAMES.function}),
    "raise an alarm": ("sns", "publish", {"TopicArn": "TOPIC", "Message": "a"}),
    "delete the stack": ("cloudformation", "delete_stack", {"StackName": NAMES.stack}),
}
"""What the role must not do: service, call, parameters. What is in capitals is known once it is deployed."""


def test_every_grant_of_the_role_is_taken_away_below(place: Place) -> None:
    assert grants(place.shipped).keys() == HARMS.keys() | POLLER.keys() | UNTRIED


def test_the_role_as_it_ships_sees_an_image_through_its_whole_life(place: Place, life: Lives) -> None:
    shas = []
    for step in ("upload", "overwrite"):
        assert life.step(step)
        row = place.row(life.key)
        assert row
        assert (row.status, row.thumbnail is not None) == (Status.READY, True)
        assert place.outputs(life.key) == {(one.bucket, one.key) for one in row.outputs}
        shas.append(row.sha256)
        assert life.refused == []
    assert len(set(shas)) == 2
    assert life.step("delete")
    assert (place.row(life.key), place.outputs(life.key)) == (None, set())
    assert life.refused == []


@pytest.mark.parametrize("grant", HARMS, ids=" on ".join)
def test_without_one_grant_exactly_its_call_is_refused(place: Place, life: Lives, grant: Grant) -> None:
    expected = HARMS[grant]
    for step in ("upload", "overwrite", "delete"):
        if step == expected.step:
            break
        assert life.step(step)
    before = place.outputs(life.key)
    place.allow(without(place.shipped, grant))

    assert life.step(expected.step) is expected.acknowledged
    assert {name for name, _ in life.refused} == expected.refused
    if grant[0].startswith("s3:"):
        assert {path.split("/")[1].split("-000000000000")[0] for _, path in life.refused} == {
            f"imgpipe-priv-{grant[1]}"
        }
    row = place.row(life.key)
    assert (row and row.status) is expected.status
    if row and row.status is Status.FAILED:
        assert row.failure
        assert row.failure.code is Refusal.FORBIDDEN
    said = [one for one in life.logged if one["level"] == "WARNING" and expected.log in json.dumps(one)]
    assert said
    assert all(one.get("image_key", life.key) == life.key for one in said)
    # Nothing that no row lists is left, but where the very permission to remove it is missing.
    listed = {(one.bucket, one.key) for one in row.outputs} if row else set()
    stray = {(bucket, key) for bucket, key in before if grant[1] in bucket} if grant[0] == "s3:DeleteObject" else set()
    assert place.outputs(life.key) == listed | stray

    # The permission given back, the same message puts everything right.
    place.allow(place.shipped)
    if not expected.acknowledged:
        assert life.deliver()
    row = place.row(life.key)
    assert (row and row.status) is (None if expected.step == "delete" else Status.READY)
    assert place.outputs(life.key) == ({(one.bucket, one.key) for one in row.outputs} if row else set())


@pytest.mark.parametrize("grant", POLLER, ids=" on ".join)
def test_what_lambda_does_with_the_role_needs_its_grant_too(
    place: Place, as_role: Callable[[str], Any], grant: Grant
) -> None:
    call, parameters = POLLER[grant]
    if "ReceiptHandle" in parameters:
        parameters = {"ReceiptHandle": place.receipt()}
    act = getattr(as_role("sqs"), call)
    act(QueueUrl=place.queue, **parameters)
    place.allow(without(place.shipped, grant))
    with pytest.raises(ClientError, match="AccessDenied"):
        act(QueueUrl=place.queue, **parameters)


@pytest.mark.parametrize("what", BEYOND)
def test_the_role_may_do_nothing_beyond_its_work(place: Place, as_role: Callable[[str], Any], what: str) -> None:
    service, call, parameters = BEYOND[what]
    known = {"JOBS": place.queue, "DEAD LETTERS": place.stack.dead_letter_queue_url}
    known |= {"ROLE": place.role, "TOPIC": place.stack.topic}
    parameters = {name: known.get(one, one) if isinstance(one, str) else one for name, one in parameters.items()}
    with pytest.raises(ClientError, match=r"AccessDenied|AuthorizationError"):
        getattr(as_role(service), call)(**parameters)


def test_nobody_else_takes_the_role_whatever_they_may_do(place: Place) -> None:
    """Of all the roles that its policy lets an administrator take, this one trusts Lambda alone."""
    iam = place.root["iam"]
    iam.create_user(UserName="admin")
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_user_policy(UserName="admin", PolicyName="all", PolicyDocument=json.dumps(everything))
    made = iam.create_access_key(UserName="admin")["AccessKey"]
    own = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
    assert place.client("s3", own).list_buckets()["Buckets"]
    with pytest.raises(ClientError, match="AccessDenied"):
        place.client("sts", own).assume_role(RoleArn=place.role_arn, RoleSessionName="admin")


def test_without_tls_buckets_and_queue_refuse_even_the_role(place: Place, keys: dict[str, str]) -> None:
    place.root["s3"].put_object(Bucket=place.stack.input_bucket, Key="tls.png", Body=picture(1))

    def read(**how: Any) -> Any:
        return place.client("s3", keys, **how).get_object(Bucket=place.stack.input_bucket, Key="tls.png")

    def write(**how: Any) -> Any:
        return place.client("s3", keys, **how).put_object(Bucket=place.stack.resized_bucket, Key="tls.png")

    def receive(**how: Any) -> Any:
        return place.client("sqs", keys, **how).receive_message(QueueUrl=place.queue)

    for call in (read, write, receive):
        call()
        with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
            call(endpoint_url=place.emulator.plain)


@pytest.mark.parametrize("bucket", ["input_bucket", "resized_bucket", "thumbnails_bucket"])
def test_a_stranger_reads_and_writes_nothing(place: Place, bucket: str) -> None:
    name = getattr(place.stack, bucket)
    place.root["s3"].put_object(Bucket=name, Key="private.png", Body=b"x")
    stranger = boto3.client(
        "s3",
        region_name=REGION,
        endpoint_url=place.emulator.tls,
        verify=place.emulator.certificate,
        config=Config(signature_version=UNSIGNED),
    )
    for call in (stranger.get_object, stranger.put_object, stranger.delete_object):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(Bucket=name, Key="private.png")
    with pytest.raises(ClientError, match="AccessDenied"):
        stranger.list_objects_v2(Bucket=name)


def test_the_deployed_function_gets_its_work_done_under_the_role(place: Place) -> None:
    """The whole way: S3 may send, the mapping takes, a worker of the emulator's own signs with the role's keys."""
    key = f"{place.fresh()}.png"
    switch(place.root, place.stack, on=True)
    try:
        place.root["s3"].put_object(Bucket=place.stack.input_bucket, Key=key, Body=picture(9))
        row = poll(lambda: place.row(key), 30)
    finally:
        switch(place.root, place.stack, on=False)
    assert row
    assert row.status is Status.READY
