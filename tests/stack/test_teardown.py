"""Taking a stage down leaves nothing of it, whatever it held and however much of it is still there."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress

import pytest
from botocore.exceptions import ClientError

from imgpipe.aws import Clients
from imgpipe.stack import emptying
from imgpipe.stack.bundle import Bundle
from imgpipe.stack.deploy import Deployment, deploy, describe
from imgpipe.stack.emptying import delete_versions
from imgpipe.stack.names import Names, identity
from imgpipe.stack.remains import leftovers
from imgpipe.stack.teardown import Inventory, inventory, teardown
from imgpipe.targets.base import emulator_parameters

Deploy = Callable[..., Deployment]
MakeBundle = Callable[[str], Bundle]

ODD_KEYS = (
    *("a b", "a+b", "100%", "%41", "a&b<c>'\"", "line\nbreak", "tab\there", "é", "e\u0301", "日本語", "😀"),
    *("/leading", "a//b", "../up", "./dot", "folder/", "k" * 1024),
)


@pytest.fixture
def silent(clients: Clients, up: Deploy) -> Deployment:
    """The stage, deployed, with a worker that takes no part."""
    done = up()
    clients["lambda"].update_event_source_mapping(UUID=done.outputs.event_source_mapping, Enabled=False)
    clients["s3"].put_bucket_notification_configuration(Bucket=done.outputs.input_bucket, NotificationConfiguration={})
    return done


def buckets(clients: Clients, names: Names) -> set[str]:
    return {one["Name"] for one in clients["s3"].list_buckets()["Buckets"]} & {*names.buckets}


def test_nothing_is_left_of_odd_keys_old_versions_and_unfinished_uploads(
    clients: Clients, stage: str, names: Names, bundle: Bundle, silent: Deployment
) -> None:
    s3, outputs = clients["s3"], silent.outputs
    for key in ODD_KEYS:
        s3.put_object(Bucket=outputs.input_bucket, Key=key, Body=b"first")
        s3.put_object(Bucket=outputs.resized_bucket, Key=key, Body=b"made")
    s3.put_object(Bucket=outputs.input_bucket, Key="a b", Body=b"second")
    s3.delete_object(Bucket=outputs.input_bucket, Key="a+b")
    s3.create_multipart_upload(Bucket=outputs.thumbnails_bucket, Key="unfinished")
    clients["dynamodb"].put_item(TableName=outputs.table, Item={"image_key": {"S": "a b"}})

    assert teardown(clients, stage, lambda _: None) == ()
    assert buckets(clients, names) == set()
    assert describe(clients, stage) is None
    assert names.table not in clients["dynamodb"].list_tables()["TableNames"]
    assert clients["logs"].describe_log_groups(logGroupNamePrefix=names.log_group)["logGroups"] == []
    with pytest.raises(ClientError):
        s3.head_object(Bucket=names.artifact_bucket, Key=f"{bundle.sha256}.zip")


def test_a_bucket_is_emptied_page_by_page(
    clients: Clients, stage: str, names: Names, silent: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emptying, "_BATCH", 3)
    for number in range(8):
        clients["s3"].put_object(Bucket=silent.outputs.input_bucket, Key=str(number), Body=b"")
    phrases: list[str] = []
    assert teardown(clients, stage, phrases.append) == ()
    counts = [phrase.rpartition(": ")[2] for phrase in phrases if phrase.startswith(f"Emptying {names.input_bucket}:")]
    assert counts == ["3 gone", "6 gone", "8 gone"]


@pytest.mark.parametrize("key", ["bell\x07", "\x1b[31mred", "\ufffe", "carriage\rreturn"])
def test_a_key_that_xml_cannot_hold_is_deleted_all_the_same(clients: Clients, key: str) -> None:
    s3, bucket, owner = clients["s3"], f"odd-{uuid.uuid4().hex}", identity(clients).account
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    written = [{"Key": one, "VersionId": s3.put_object(Bucket=bucket, Key=one)["VersionId"]} for one in (key, "plain")]
    assert delete_versions(s3, bucket, owner, written) == 2
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)
    s3.delete_bucket(Bucket=bucket)


def test_the_code_that_another_stage_runs_stays(
    clients: Clients, stage: str, names: Names, bundle: Bundle, up: Deploy, make_bundle: MakeBundle
) -> None:
    up()
    up(make_bundle(f"{stage} newer"))
    deploy(clients, "neighbour", bundle, emulator_parameters({}), lambda _: None)
    try:
        assert teardown(clients, stage, lambda _: None) == ()
        left = clients["s3"].list_object_versions(Bucket=names.artifact_bucket)["Versions"]
        assert f"{bundle.sha256}.zip" in {one["Key"] for one in left}
        assert f"{make_bundle(f'{stage} newer').sha256}.zip" not in {one["Key"] for one in left}
    finally:
        assert teardown(clients, "neighbour", lambda _: None) == ()


def test_a_stage_that_is_half_gone_is_finished(clients: Clients, stage: str, up: Deploy) -> None:
    outputs = up().outputs
    clients["s3"].delete_bucket(Bucket=outputs.resized_bucket)
    clients["dynamodb"].delete_table(TableName=outputs.table)
    clients["lambda"].delete_function(FunctionName=outputs.function)
    clients["sqs"].delete_queue(QueueUrl=outputs.jobs_queue_url)
    clients["logs"].delete_log_group(logGroupName=outputs.log_group)
    assert teardown(clients, stage, lambda _: None) == ()
    assert leftovers(clients, stage) == ()


def test_the_data_that_a_deleted_stack_kept_is_found_and_removed(
    clients: Clients, stage: str, names: Names, up: Deploy
) -> None:
    up()
    clients["cloudformation"].delete_stack(StackName=names.stack)
    clients["cloudformation"].get_waiter("stack_delete_complete").wait(
        StackName=names.stack, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100}
    )
    kept = {f"table {names.table}", *(f"bucket {one}" for one in names.buckets)}
    assert set(leftovers(clients, stage)) == kept
    assert teardown(clients, stage, lambda _: None) == ()
    assert leftovers(clients, stage) == ()


def test_what_a_stack_forgot_is_found_and_removed(
    clients: Clients, stage: str, names: Names, up: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    up()
    # As on LocalStack after a failed update: the stack goes, and what it has forgotten stays.
    monkeypatch.setattr("imgpipe.stack.teardown.remove_stack", lambda *_: "DELETE_COMPLETE")
    monkeypatch.setattr("imgpipe.stack.teardown.described", lambda *_: None)
    monkeypatch.setattr("imgpipe.stack.remains.described", lambda *_: None)
    kinds = {one.partition(" ")[0] for one in leftovers(clients, stage)}
    assert kinds == {"table", "function", "topic", "bucket", "queue", "event", "log", "alarm"}
    assert teardown(clients, stage, lambda _: None) == ()
    assert leftovers(clients, stage) == ()
    monkeypatch.undo()
    assert clients["lambda"].list_event_source_mappings(FunctionName=names.function)["EventSourceMappings"] == []


def test_a_log_group_that_a_late_line_made_again_is_removed(clients: Clients, stage: str, names: Names) -> None:
    clients["logs"].create_log_group(logGroupName=names.log_group)
    assert leftovers(clients, stage) == (f"log group {names.log_group}",)
    assert teardown(clients, stage, lambda _: None) == ()
    assert leftovers(clients, stage) == ()


def test_where_there_is_nothing_there_is_nothing_to_do(clients: Clients, stage: str) -> None:
    assert teardown(clients, stage, lambda _: None) == ()


def test_what_cannot_be_removed_is_named(
    clients: Clients, stage: str, names: Names, up: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    up()
    with monkeypatch.context() as patch:
        patch.setattr(clients["s3"], "delete_bucket", lambda **_: None)
        patch.setattr("imgpipe.stack.teardown._LAST_LOOKS", 0.1)
        assert teardown(clients, stage, lambda _: None) == tuple(f"bucket {one}" for one in names.buckets)


def test_the_inventory_counts_what_would_be_lost(clients: Clients, names: Names, silent: Deployment) -> None:
    s3, sqs, outputs = clients["s3"], clients["sqs"], silent.outputs
    with suppress(ClientError):
        sqs.purge_queue(QueueUrl=outputs.jobs_queue_url)  # S3's test event
    assert inventory(clients, names).empty
    for key in ("kept", "deleted"):
        s3.put_object(Bucket=outputs.input_bucket, Key=key, Body=b"first")
        s3.put_object(Bucket=outputs.input_bucket, Key=key, Body=b"second")
    s3.delete_object(Bucket=outputs.input_bucket, Key="deleted")
    s3.put_object(Bucket=outputs.resized_bucket, Key="kept/1024", Body=b"")
    s3.put_object(Bucket=outputs.thumbnails_bucket, Key="kept/64", Body=b"")
    clients["dynamodb"].put_item(TableName=outputs.table, Item={"image_key": {"S": "kept"}})
    sqs.send_message(QueueUrl=outputs.jobs_queue_url, MessageBody="{}", DelaySeconds=900)
    sqs.send_message(QueueUrl=outputs.dead_letter_queue_url, MessageBody="{}")
    assert inventory(clients, names) == Inventory(
        objects=1, versions=3, delete_markers=1, outputs=2, rows=1, queued=1, dead_lettered=1
    )


@pytest.mark.usefixtures("silent")
def test_the_inventory_counts_what_a_deleted_stack_kept(clients: Clients, names: Names) -> None:
    clients["s3"].put_object(Bucket=names.input_bucket, Key="kept", Body=b"first")
    clients["s3"].put_object(Bucket=names.thumbnails_bucket, Key="kept/64", Body=b"")
    clients["dynamodb"].put_item(TableName=names.table, Item={"image_key": {"S": "kept"}})
    clients["cloudformation"].delete_stack(StackName=names.stack)
    clients["cloudformation"].get_waiter("stack_delete_complete").wait(
        StackName=names.stack, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100}
    )
    assert inventory(clients, names) == Inventory(objects=1, outputs=1, rows=1)


def test_the_inventory_of_what_is_gone_is_empty(clients: Clients, stage: str, names: Names, up: Deploy) -> None:
    up()
    teardown(clients, stage, lambda _: None)
    assert inventory(clients, names).empty
