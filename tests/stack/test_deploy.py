"""Deploying makes the stack what the template says, once, and explains what went wrong."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from imgpipe.aws import Clients
from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.stack.artifacts import code_key, store
from imgpipe.stack.bundle import Bundle
from imgpipe.stack.deploy import Deployment, deploy, describe
from imgpipe.stack.names import Names, identity
from imgpipe.stack.notifications import EVENTS
from imgpipe.stack.plan import Plan, Wanted, discard, propose
from imgpipe.stack.recovery import recover
from imgpipe.stack.teardown import teardown
from imgpipe.stack.template import template_body
from imgpipe.stack.waiting import remove_stack
from imgpipe.targets.base import Connection, emulator_parameters

Deploy = Callable[..., Deployment]
MakeBundle = Callable[[str], Bundle]


@pytest.fixture
def not_a_zip(stage: str) -> Bundle:
    """Code that every function refuses."""
    data = f"{stage} is no zip".encode()
    return Bundle(data, hashlib.sha256(data).hexdigest())


@pytest.fixture
def taken(engine: Connection, names: Names) -> Callable[[], None]:
    """Another account's bucket under the name of one of ours; call it to take the bucket away."""
    theirs = Clients(replace(engine, access_key_id="111111111111"))["s3"]
    theirs.create_bucket(Bucket=names.thumbnails_bucket)
    return lambda: theirs.delete_bucket(Bucket=names.thumbnails_bucket)


def test_a_first_deploy_creates_everything_and_the_second_changes_nothing(
    clients: Clients, names: Names, up: Deploy
) -> None:
    first = up()
    assert first.outcome == "created"
    assert {one.action for one in first.changes} == {"Add"}
    assert first.outputs.buckets == names.buckets
    assert first.outputs.table == names.table
    assert first.outputs.jobs_queue_url.endswith(f"/{names.jobs_queue}")
    assert clients["lambda"].get_event_source_mapping(UUID=first.outputs.event_source_mapping)["BatchSize"] == 1

    second = up()
    assert (second.outcome, second.changes, second.outputs) == ("unchanged", (), first.outputs)
    listed = clients["cloudformation"].list_change_sets(StackName=names.stack)["Summaries"]
    assert [one for one in listed if one["Status"] == "FAILED"] == []


def test_a_changed_parameter_updates_what_depends_on_it(clients: Clients, names: Names, up: Deploy) -> None:
    up()
    done = up(MemorySize="2048")
    assert done.outcome == "updated"
    assert [(one.action, one.logical_id, one.replacement) for one in done.changes] == [("Modify", "Function", "False")]
    assert clients["lambda"].get_function_configuration(FunctionName=names.function)["MemorySize"] == 2048


def test_the_dashboard_comes_and_goes_with_its_parameter(clients: Clients, names: Names, up: Deploy) -> None:
    def dashboards() -> list[str]:
        listed = clients["cloudwatch"].list_dashboards(DashboardNamePrefix=names.stack)["DashboardEntries"]
        return [one["DashboardName"] for one in listed]

    up()
    assert dashboards() == []
    assert [(one.action, one.type) for one in up(Dashboard="true").changes] == [("Add", "AWS::CloudWatch::Dashboard")]
    assert len(dashboards()) == 1
    assert up().outcome == "updated"
    assert dashboards() == []


def test_changed_code_is_a_change(clients: Clients, stage: str, up: Deploy, make_bundle: MakeBundle) -> None:
    up()
    newer = make_bundle(f"{stage} newer")
    assert up(newer).outcome == "updated"
    view = describe(clients, stage)
    assert view is not None
    assert view.parameters["CodeKey"] == f"{newer.sha256}.zip"


def test_progress_names_the_resources_that_are_made(clients: Clients, stage: str, bundle: Bundle) -> None:
    phrases: list[str] = []
    deploy(clients, stage, bundle, emulator_parameters({}), phrases.append)
    assert "Creating the stack" in phrases
    assert {"Creating InputBucket", "Creating Function", "Creating Table"} <= set(phrases)


def test_a_stage_that_is_not_up_is_described_by_nothing(clients: Clients, stage: str) -> None:
    assert describe(clients, stage) is None


def test_a_bad_stage_name_is_refused_before_anything_is_made(clients: Clients, bundle: Bundle) -> None:
    with pytest.raises(ImgpipeError) as refusal:
        deploy(clients, "Not_A_Stage", bundle, {}, lambda _: None)
    assert refusal.value.status is ExitStatus.USAGE


def test_a_parameter_that_the_template_forbids_is_refused_and_leaves_no_stack(
    clients: Clients, stage: str, up: Deploy
) -> None:
    with pytest.raises(ImgpipeError, match="MemorySize") as refusal:
        up(MemorySize="5")
    assert refusal.value.code == "deploy_refused"
    assert refusal.value.hint
    assert describe(clients, stage) is None


def test_a_failed_creation_gives_the_reason_of_the_resource_and_can_be_repeated(
    clients: Clients, stage: str, names: Names, up: Deploy, taken: Callable[[], None]
) -> None:
    with pytest.raises(ImgpipeError, match=r"could not be created: ThumbnailsBucket \(AWS::S3::Bucket\)") as failure:
        up()
    assert failure.value.code == "deploy_failed"
    assert f"{names.thumbnails_bucket} already exists" in failure.value.message
    assert failure.value.hint == "imgpipe down"
    view = describe(clients, stage)
    assert view is not None
    assert (view.status, view.outputs) == ("ROLLBACK_COMPLETE", None)

    taken()
    assert "ThumbnailsBucket (AWS::S3::Bucket)" in recover(clients, stage, lambda _: None)
    assert describe(clients, stage) is None
    assert up().outcome == "created"


def test_data_that_a_stack_deleted_by_hand_left_behind_is_taken_in_by_the_next(
    clients: Clients, names: Names, up: Deploy
) -> None:
    up()
    s3 = clients["s3"]
    s3.put_object(Bucket=names.input_bucket, Key="kept.jpg", Body=b"kept")
    remove_stack(clients, names.stack, lambda _: None)
    # As an interrupted `down` leaves it; CloudFormation changes nothing about a bucket that it takes in.
    s3.put_bucket_notification_configuration(Bucket=names.input_bucket, NotificationConfiguration={})

    done = up()
    assert done.outcome == "imported"
    taken = {one.logical_id for one in done.changes if one.action == "Import"}
    assert taken == {"InputBucket", "ResizedBucket", "ThumbnailsBucket", "Table"}
    assert s3.get_object(Bucket=names.input_bucket, Key="kept.jpg")["Body"].read() == b"kept"
    told = s3.get_bucket_notification_configuration(Bucket=names.input_bucket)["QueueConfigurations"]
    assert sorted(event for one in told for event in one["Events"]) == sorted(EVENTS)
    assert {one["QueueArn"].rpartition(":")[2] for one in told} == {names.jobs_queue}
    assert up().outcome == "unchanged"


def test_a_bucket_that_others_use_is_not_taken_in(clients: Clients, names: Names, up: Deploy) -> None:
    up()
    topic = clients["sns"].create_topic(Name=f"{names.stack}-theirs")["TopicArn"]
    theirs = {"TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]}
    clients["s3"].put_bucket_notification_configuration(Bucket=names.input_bucket, NotificationConfiguration=theirs)
    remove_stack(clients, names.stack, lambda _: None)
    with pytest.raises(ImgpipeError, match=f"{names.stack}-theirs") as refusal:
        up()
    assert refusal.value.status is ExitStatus.REFUSED
    clients["sns"].delete_topic(TopicArn=topic)


def test_the_events_that_a_bucket_is_connected_with_are_the_templates() -> None:
    assert re.findall(r"Event: (s3:.+)", template_body()) == list(EVENTS)


def test_a_plan_uploads_nothing_and_leaves_no_trace_when_it_is_dropped(
    clients: Clients, stage: str, names: Names, bundle: Bundle, up: Deploy, make_bundle: MakeBundle
) -> None:
    def plan(code: Bundle, **parameters: str) -> Plan:
        wanted = Wanted(stage=stage, parameters={**emulator_parameters({}), **parameters}, keep=True)
        return propose(clients, wanted, lambda _: code, lambda _: None)

    first = plan(bundle)
    assert (first.outcome, {one.action for one in first.changes}) == ("create", {"Add"})
    discard(clients, first)
    assert describe(clients, stage) is None

    up(MemorySize="2048")
    newer = make_bundle(f"{stage} newer")
    second = plan(newer, Dashboard="true")
    assert {one.logical_id for one in second.changes} == {"Function", "OperationsDashboard"}
    assert [(one.name, one.new, one.kept) for one in second.parameters] == [
        ("MemorySize", "2048", True),
        ("Dashboard", "true", False),
    ]
    discard(clients, second)
    assert plan(bundle).outcome == "unchanged"
    listed = clients["cloudformation"].list_change_sets(StackName=names.stack)["Summaries"]
    assert [one for one in listed if one["ExecutionStatus"] == "AVAILABLE"] == []
    with pytest.raises(ClientError, match="404"):
        clients["s3"].head_object(Bucket=names.artifact_bucket, Key=code_key(newer))


def test_a_failed_update_gives_the_reason_and_leaves_the_old_stack_working(
    clients: Clients, stage: str, bundle: Bundle, up: Deploy, not_a_zip: Bundle
) -> None:
    outputs = up().outputs
    with pytest.raises(ImgpipeError, match=r"failed and was undone: Function .*Could not unzip"):
        up(not_a_zip, MemorySize="2048")
    view = describe(clients, stage)
    assert view is not None
    assert (view.status, view.outputs) == ("UPDATE_ROLLBACK_COMPLETE", outputs)
    assert view.parameters["CodeKey"] == f"{bundle.sha256}.zip"
    assert clients["lambda"].get_function_configuration(FunctionName=outputs.function)["MemorySize"] == 1769
    assert up(MemorySize="2048").outcome == "updated"


def test_a_change_set_that_nobody_executed_is_no_obstacle(clients: Clients, names: Names, up: Deploy) -> None:
    template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    clients["cloudformation"].create_change_set(
        StackName=names.stack, ChangeSetName="abandoned", ChangeSetType="CREATE", TemplateBody=json.dumps(template)
    )
    assert up().outcome == "created"


def test_an_interrupt_before_the_execution_leaves_no_stack_and_no_change_set(
    clients: Clients, stage: str, bundle: Bundle
) -> None:
    def interrupt(phrase: str) -> None:
        if phrase == "Creating the stack":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy(clients, stage, bundle, {}, interrupt)
    assert describe(clients, stage) is None


def test_an_interrupt_of_an_update_leaves_the_stack_as_it_was(
    clients: Clients, stage: str, names: Names, bundle: Bundle, up: Deploy
) -> None:
    up()

    def interrupt(phrase: str) -> None:
        if phrase == "Updating the stack":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy(clients, stage, bundle, {**emulator_parameters({}), "MemorySize": "2048"}, interrupt)
    listed = clients["cloudformation"].list_change_sets(StackName=names.stack)["Summaries"]
    assert [one for one in listed if one["ExecutionStatus"] == "AVAILABLE"] == []
    assert up().outcome == "unchanged"


def test_code_lies_once_in_a_bucket_that_is_private_encrypted_and_versioned(
    clients: Clients, names: Names, bundle: Bundle, up: Deploy
) -> None:
    up()
    up(MemorySize="2048")
    s3, bucket = clients["s3"], names.artifact_bucket
    listed = s3.list_object_versions(Bucket=bucket, Prefix=bundle.sha256)
    assert [one["Key"] for one in listed["Versions"]] == [f"{bundle.sha256}.zip"]
    assert s3.get_object(Bucket=bucket, Key=f"{bundle.sha256}.zip")["Body"].read() == bundle.data
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert list(blocked.values()) == [True] * 4
    [rule] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    [statement] = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Resource"] == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_two_first_deploys_at_once_share_the_bucket_for_code(clients: Clients, make_bundle: MakeBundle) -> None:
    stages = ("race-one", "race-two")

    def one(stage: str) -> str:
        return deploy(clients, stage, make_bundle(stage), emulator_parameters({}), lambda _: None).outcome

    try:
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(one, stages)) == ["created", "created"]
    finally:
        for stage in stages:
            teardown(clients, stage, lambda _: None)


def test_every_call_to_a_bucket_names_the_owner_it_expects(
    engine: Connection, stage: str, bundle: Bundle, make_bundle: MakeBundle
) -> None:
    clients, unguarded = Clients(engine), set()

    def guard(params: dict[str, Any], model: Any, **_: Any) -> None:
        if "ExpectedBucketOwner" not in params and model.name != "CreateBucket":
            unguarded.add(model.name)

    clients["s3"].meta.events.register("provide-client-params.s3", guard)
    outputs = deploy(clients, stage, bundle, emulator_parameters({}), lambda _: None).outputs
    deploy(clients, stage, make_bundle(f"{stage} newer"), emulator_parameters({}), lambda _: None)
    clients["s3"].put_object(Bucket=outputs.input_bucket, Key="a", Body=b"", ExpectedBucketOwner="000000000000")
    teardown(clients, stage, lambda _: None)
    assert unguarded == set()


def test_a_bucket_of_another_account_is_never_used_for_code(
    clients: Clients, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The engine takes no notice of the expected owner, so S3's answer to a wrong one is given here.
    def forbidden(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadBucket")

    monkeypatch.setattr(clients["s3"], "head_object", forbidden)
    monkeypatch.setattr(clients["s3"], "head_bucket", forbidden)
    with pytest.raises(ImgpipeError) as refusal:
        store(clients, "imgpipe-artifacts-elsewhere", identity(clients), bundle, lambda _: None)
    assert refusal.value.status is ExitStatus.REFUSED
