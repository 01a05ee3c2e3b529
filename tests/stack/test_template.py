"""What the template promises, read from the template."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.decode import decode_str
from cfnlint.helpers import REGIONS

from image_pipeline.record import ImageRecord
from image_pipeline.settings import INPUT_FORMATS, Limits, Recipe, Settings
from image_pipeline.telemetry import UNITS
from imgpipe.stack.names import Names, StackOutputs
from imgpipe.stack.parameters import LONGEST_RECIPE, PARAMETERS, Matching, Switch, Whole
from imgpipe.stack.template import template_body
from imgpipe.targets.base import emulator_parameters

BUCKETS = ("InputBucket", "ResizedBucket", "ThumbnailsBucket")
POLICIES = {
    "InputBucketPolicy": "s3:*",
    "ResizedBucketPolicy": "s3:*",
    "ThumbnailsBucketPolicy": "s3:*",
    "JobsQueuePolicy": "sqs:*",
    "DeadLetterQueuePolicy": "sqs:*",
    "TopicPolicy": "sns:Publish",
}
NAMES = Names.of("dev", "123456789012", "eu-west-1")


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    parsed, problems = decode_str(template_body())
    assert not problems
    return json.loads(json.dumps(parsed))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    return {name: one.get("Properties", {}) for name, one in template["Resources"].items()}


def named(value: Any) -> str:
    """A !Sub of pseudo parameters as it comes out for NAMES."""
    text: str = value["Fn::Sub"] if isinstance(value, dict) else value
    known = {"StackName": NAMES.stack, "AccountId": "123456789012", "Region": "eu-west-1", "Partition": "aws"}
    for name, answer in known.items():
        text = text.replace(f"${{AWS::{name}}}", answer)
    return text


def statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in policy["PolicyDocument"]["Statement"] if "Fn::If" not in one]


def inside(value: Any) -> Iterator[Any]:
    """Every object in a tree of JSON."""
    yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from inside(one)


def test_cfn_lint_finds_nothing_in_any_region() -> None:
    everywhere = list(REGIONS)
    assert [f"{one.rule.id} {one.message}" for one in lint(template_body(), regions=everywhere)] == []


def test_it_fits_into_a_request_and_needs_no_preprocessing() -> None:
    assert len(template_body().encode()) < 51_200
    assert "Transform" not in template_body()


def test_the_names_are_those_that_the_rest_of_the_program_uses(resources: dict[str, Any]) -> None:
    assert tuple(named(resources[one]["BucketName"]) for one in BUCKETS) == NAMES.buckets
    assert named(resources["Table"]["TableName"]) == NAMES.table
    assert named(resources["Function"]["FunctionName"]) == NAMES.function
    assert named(resources["JobsQueue"]["QueueName"]) == NAMES.jobs_queue
    assert named(resources["DeadLetterQueue"]["QueueName"]) == NAMES.dead_letter_queue
    assert named(resources["Topic"]["TopicName"]) == NAMES.topic
    assert named(resources["LogGroup"]["LogGroupName"]) == NAMES.log_group


def test_every_output_is_a_field_and_every_field_an_output(template: dict[str, Any]) -> None:
    assert set(template["Outputs"]) == {one.name.title().replace("_", "") for one in fields(StackOutputs)}


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_bucket_is_private_encrypted_and_outlives_its_stack(template: dict[str, Any], bucket: str) -> None:
    resource = template["Resources"][bucket]
    properties = resource["Properties"]
    assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resource["UpdateReplacePolicy"] == "Retain"
    assert list(properties["PublicAccessBlockConfiguration"].values()) == [True] * 4
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    [rule] = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == {"Fn::If": ["WithKey", "aws:kms", "AES256"]}
    assert rule["BucketKeyEnabled"]["Fn::If"][:2] == ["WithKey", True]
    uploads = [one for one in properties["LifecycleConfiguration"]["Rules"] if "AbortIncompleteMultipartUpload" in one]
    assert [one["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] for one in uploads] == [7]


def test_only_the_input_is_versioned_and_forgets_old_versions(resources: dict[str, Any]) -> None:
    assert [one for one in BUCKETS if "VersioningConfiguration" in resources[one]] == ["InputBucket"]
    rules = resources["InputBucket"]["LifecycleConfiguration"]["Rules"]
    [days] = [one["NoncurrentVersionExpiration"] for one in rules if "NoncurrentVersionExpiration" in one]
    assert days == {"NoncurrentDays": {"Ref": "NoncurrentVersionDays"}}


def test_every_way_an_object_comes_and_goes_is_announced(template: dict[str, Any]) -> None:
    bucket = template["Resources"]["InputBucket"]
    configured = bucket["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
    assert {one["Event"] for one in configured} == {
        *("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*")
    }
    assert all("Filter" not in one for one in configured)
    assert bucket["DependsOn"] == "JobsQueuePolicy"


@pytest.mark.parametrize(("policy", "action"), POLICIES.items())
def test_nothing_is_reached_without_tls(resources: dict[str, Any], policy: str, action: str) -> None:
    [denial] = [one for one in statements(resources[policy]) if one["Effect"] == "Deny"]
    assert denial["Principal"] == "*"
    assert denial["Action"] == action
    assert denial["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_bucket_policy_covers_the_bucket_and_what_is_in_it(resources: dict[str, Any]) -> None:
    for bucket, name in zip(BUCKETS, NAMES.buckets, strict=True):
        [denial] = statements(resources[f"{bucket}Policy"])
        assert [named(one) for one in denial["Resource"]] == [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]


def test_only_the_input_bucket_of_this_account_may_send(resources: dict[str, Any]) -> None:
    [grant] = [one for one in statements(resources["JobsQueuePolicy"]) if one["Effect"] == "Allow"]
    assert grant["Principal"] == {"Service": "s3.amazonaws.com"}
    assert grant["Action"] == "sqs:SendMessage"
    assert named(grant["Condition"]["ArnEquals"]["aws:SourceArn"]) == f"arn:aws:s3:::{NAMES.input_bucket}"
    assert grant["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


def test_only_alarms_of_this_account_may_publish(resources: dict[str, Any]) -> None:
    [grant] = [one for one in statements(resources["TopicPolicy"]) if one["Effect"] == "Allow"]
    assert grant["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert grant["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    # CloudWatch may not use the key that SNS manages, so naming it would silence every alarm.
    assert "KmsMasterKeyId" not in resources["Topic"]


def test_policies_name_the_buckets_instead_of_referring_to_them(resources: dict[str, Any]) -> None:
    documents = [resources[one]["PolicyDocument"] for one in POLICIES] + [resources["FunctionRole"]]
    references = {json.dumps(one) for document in documents for one in inside(document) if isinstance(one, dict)}
    assert not [one for one in references if any(f'"{bucket}' in one for bucket in BUCKETS)]


def test_a_message_stays_hidden_for_six_times_the_longest_run(
    template: dict[str, Any], resources: dict[str, Any]
) -> None:
    assert resources["JobsQueue"]["VisibilityTimeout"] == {"Ref": "VisibilityTimeout"}
    timeout = resources["Function"]["Timeout"]
    assert template["Parameters"]["VisibilityTimeout"]["Default"] >= 6 * timeout
    assert template["Parameters"]["VisibilityTimeout"]["MinValue"] >= timeout
    assert int(emulator_parameters({})["VisibilityTimeout"]) > timeout


def test_eight_failed_receives_lead_to_two_weeks_in_the_dead_letter_queue(resources: dict[str, Any]) -> None:
    jobs, dead = resources["JobsQueue"], resources["DeadLetterQueue"]
    assert jobs["RedrivePolicy"]["maxReceiveCount"] == 8
    assert resources["Function"]["Environment"]["Variables"]["IMGPIPE_MAX_RECEIVES"] == "8"
    assert dead["MessageRetentionPeriod"] == 14 * 86_400
    assert jobs["MessageRetentionPeriod"] < dead["MessageRetentionPeriod"]
    [source] = dead["RedriveAllowPolicy"]["sourceQueueArns"]
    assert named(source) == f"arn:aws:sqs:eu-west-1:123456789012:{NAMES.jobs_queue}"


def test_queues_are_encrypted_by_sqs_itself(resources: dict[str, Any]) -> None:
    for queue in (resources["JobsQueue"], resources["DeadLetterQueue"]):
        assert queue["SqsManagedSseEnabled"] is True
        assert "KmsMasterKeyId" not in queue


def test_messages_are_taken_one_by_one_unfiltered_and_never_throttled(resources: dict[str, Any]) -> None:
    mapping = resources["EventSourceMapping"]
    assert mapping["BatchSize"] == 1
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "MaximumConcurrency"}}
    assert "FilterCriteria" not in mapping
    assert "ReservedConcurrentExecutions" not in resources["Function"]


def test_the_environment_is_what_the_function_reads_and_its_defaults_are_the_function_s(
    template: dict[str, Any], resources: dict[str, Any]
) -> None:
    variables = resources["Function"]["Environment"]["Variables"]
    known = {"IMGPIPE_MAX_RECEIVES": "8"} | {
        name: str(template["Parameters"][value["Ref"]]["Default"])
        for name, value in variables.items()
        if isinstance(value, dict) and value.get("Ref") in template["Parameters"]
    }
    settings = Settings.from_environment({name: known.get(name, name.lower()) for name in variables})
    assert settings.queue_url == "imgpipe_queue_url"
    assert settings.recipe == Recipe()
    limits = {name for name in variables if name.startswith("IMGPIPE_MAX_")}
    changed = Settings.from_environment({name: "3" if name in limits else known.get(name, "x") for name in variables})
    assert changed.recipe.limits == Limits(max_bytes=3, max_pixels=3, max_side=3, max_scans=3)
    assert {name for name in variables if not name.startswith("IMGPIPE_")} == set()


def test_a_file_may_say_what_the_template_allows_and_nothing_else(template: dict[str, Any]) -> None:
    described = template["Parameters"]
    for one in PARAMETERS:
        there, kind = described[one.name], one.kind
        assert one.text(one.default) == str(there["Default"]), one.name
        assert kind.holds(one.default), one.name
        assert one.value(one.text(one.default)) == one.default
        if isinstance(kind, Whole):
            assert (there["Type"], there.get("MinValue")) == ("Number", kind.at_least), one.name
            assert there.get("MaxValue") == kind.at_most, one.name
        elif isinstance(kind, Matching):
            assert there["AllowedPattern"] == kind.pattern, one.name
            assert there["ConstraintDescription"] == kind.says
        else:
            options = (True, False) if isinstance(kind, Switch) else kind.options
            assert [one.text(option) for option in options] == [str(option) for option in there["AllowedValues"]]
    elsewhere = {"CodeBucket", "CodeKey", "VisibilityTimeout", "Backoff", "Renditions", "Formats"}
    assert {one.name for one in PARAMETERS} | elsewhere == set(described)
    assert described["Renditions"]["MaxLength"] == LONGEST_RECIPE


def test_the_environment_fits_beside_the_longest_recipe(resources: dict[str, Any]) -> None:
    longest = Names.of("a" * 12, "123456789012", "us-gov-east-1")
    values = {"Table": longest.table, "Renditions": "x" * LONGEST_RECIPE}
    values |= dict(zip(BUCKETS, longest.buckets, strict=True))
    values["JobsQueue"] = f"https://sqs.us-gov-east-1.amazonaws.com/123456789012/{longest.jobs_queue}"
    values["Formats"] = ",".join(INPUT_FORMATS)
    values["Backoff"] = ",".join(["43200"] * 7)
    size = sum(
        len(name) + len(str(values.get(value["Ref"], "x" * 12)) if isinstance(value, dict) else value)
        for name, value in resources["Function"]["Environment"]["Variables"].items()
    )
    # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    assert size < 4096


def test_the_smallest_memory_holds_the_largest_file_and_the_largest_picture(template: dict[str, Any]) -> None:
    described = template["Parameters"]
    interpreter_and_libraries = 200_000_000
    needed = Limits().memory + described["MaxBytes"]["MaxValue"] + interpreter_and_libraries
    assert needed <= described["MemorySize"]["MinValue"] * 2**20
    # The cheapest format takes four bytes for a pixel: more pixels than this would only be refused for their memory.
    assert described["MaxPixels"]["MaxValue"] * 4 == Limits().memory


def test_the_role_is_bounded_and_alarms_are_mailed_only_where_that_is_wanted(template: dict[str, Any]) -> None:
    role = template["Resources"]["FunctionRole"]["Properties"]
    assert role["PermissionsBoundary"]["Fn::If"] == [
        *("WithBoundary", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"})
    ]
    subscription = template["Resources"]["Subscription"]
    assert subscription["Condition"] == "WithEmail"
    assert subscription["Properties"] == {
        **{"TopicArn": {"Ref": "Topic"}, "Protocol": "email", "Endpoint": {"Ref": "AlarmEmail"}}
    }


def test_the_thresholds_that_depend_on_the_traffic_are_parameters(resources: dict[str, Any]) -> None:
    alarms = {"BacklogAgeAlarm": "BacklogSeconds", "ImagesFailedAlarm": "FailedImages"}
    for alarm, parameter in {**alarms, "ImagesRetriedAlarm": "RetriedImages"}.items():
        assert resources[alarm]["Threshold"] == {"Ref": parameter}
        assert f"${{{parameter}}}" in resources[alarm]["AlarmDescription"]["Fn::Sub"]


def test_the_default_back_off_is_one_that_the_function_reads(template: dict[str, Any]) -> None:
    required = ("STACK", "ACCOUNT", "INPUT_BUCKET", "RESIZED_BUCKET", "THUMBNAILS_BUCKET", "TABLE")
    for text in (template["Parameters"]["Backoff"]["Default"], emulator_parameters({})["Backoff"]):
        environment = {f"IMGPIPE_{one}": "x" for one in required} | {"IMGPIPE_BACKOFF": text}
        assert len(Settings.from_environment(environment).backoff) == 7


def test_the_log_is_json_in_a_group_that_forgets(resources: dict[str, Any]) -> None:
    assert resources["Function"]["LoggingConfig"]["LogFormat"] == "JSON"
    assert resources["Function"]["LoggingConfig"]["LogGroup"] == {"Ref": "LogGroup"}
    assert resources["LogGroup"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_the_role_may_do_this_and_nothing_more(resources: dict[str, Any]) -> None:
    role = resources["FunctionRole"]
    assert "ManagedPolicyArns" not in role
    [policy] = role["Policies"]
    here = "eu-west-1:123456789012"
    granted = {
        (action, named(resource))
        for one in statements(policy)
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
        for resource in (one["Resource"] if isinstance(one["Resource"], list) else [one["Resource"]])
    }
    outputs = [f"arn:aws:s3:::{bucket}/*" for bucket in (NAMES.resized_bucket, NAMES.thumbnails_bucket)]
    queue, log = f"arn:aws:sqs:{here}:{NAMES.jobs_queue}", f"arn:aws:logs:{here}:log-group:{NAMES.log_group}:*"
    assert granted == {
        ("s3:GetObject", f"arn:aws:s3:::{NAMES.input_bucket}/*"),
        ("s3:ListBucket", f"arn:aws:s3:::{NAMES.input_bucket}"),
        *((action, output) for action in ("s3:PutObject", "s3:DeleteObject") for output in outputs),
        *((f"dynamodb:{one}Item", f"arn:aws:dynamodb:{here}:table/{NAMES.table}") for one in ("Get", "Put", "Delete")),
        *((f"sqs:{one}", queue) for one in ("ReceiveMessage", "DeleteMessage")),
        *((f"sqs:{one}", queue) for one in ("GetQueueAttributes", "ChangeMessageVisibility")),
        *((f"logs:{one}", log) for one in ("CreateLogStream", "PutLogEvents")),
    }


def test_a_key_is_used_only_through_the_buckets_and_the_table(resources: dict[str, Any]) -> None:
    [policy] = resources["FunctionRole"]["Policies"]
    [choice] = [one["Fn::If"] for one in policy["PolicyDocument"]["Statement"] if "Fn::If" in one]
    condition, with_key, without = choice
    assert (condition, without) == ("WithKey", {"Ref": "AWS::NoValue"})
    assert with_key["Resource"] == {"Ref": "KmsKeyArn"}
    services = with_key["Condition"]["StringEquals"]["kms:ViaService"]
    assert [one["Fn::Sub"].split(".")[0] for one in services] == ["s3", "dynamodb"]


def test_the_table_bills_by_use_and_can_be_restored(template: dict[str, Any]) -> None:
    table = template["Resources"]["Table"]
    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    assert table["UpdateReplacePolicy"] == "Retain"
    assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_the_indexes_carry_what_a_listing_shows(resources: dict[str, Any]) -> None:
    listed = {"image_key", "status", "uploaded_at", "width", "height", "format", "user", "file_name"}
    recorded = {one.name for one in fields(ImageRecord)}
    ranges = {"by_user": "uploaded_at", "by_day": "uploaded_at", "failed": "processed_at"}
    for index in resources["Table"]["GlobalSecondaryIndexes"]:
        keys = [one["AttributeName"] for one in index["KeySchema"]]
        assert keys == [index["IndexName"], ranges.pop(index["IndexName"])]
        projected = set(index["Projection"]["NonKeyAttributes"])
        assert listed <= projected | {*keys, "image_key"}
        assert projected <= recorded
    assert not ranges


def test_every_alarm_watches_one_metric_and_is_quiet_without_data(template: dict[str, Any]) -> None:
    alarms = [one["Properties"] for one in template["Resources"].values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    watched = {named(one["AlarmName"]).removeprefix(f"{NAMES.stack}-"): one["MetricName"] for one in alarms}
    assert watched == {
        "dead-letters": "ApproximateNumberOfMessagesVisible",
        "backlog-age": "ApproximateAgeOfOldestMessage",
        "errors": "Errors",
        "throttles": "Throttles",
        "duration": "Duration",
        "images-failed": "ImagesFailed",
        "images-retried": "ImagesRetried",
    }
    for alarm in alarms:
        assert "Metrics" not in alarm
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "Topic"}]
        if alarm["Namespace"] == "imgpipe":
            assert alarm["Dimensions"] == [{"Name": "service", "Value": {"Ref": "AWS::StackName"}}]


def test_the_duration_alarm_warns_before_the_timeout(resources: dict[str, Any]) -> None:
    assert resources["DurationAlarm"]["Statistic"] == "Maximum"
    assert resources["DurationAlarm"]["Threshold"] == 0.8 * 1000 * resources["Function"]["Timeout"]


KNOWN = {
    "imgpipe": ({"service"}, set(UNITS)),
    "AWS/SQS": (
        {"QueueName"},
        {
            *("NumberOfMessagesSent", "ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"),
            "ApproximateAgeOfOldestMessage",
        },
    ),
    "AWS/Lambda": ({"FunctionName"}, {"Duration", "Invocations", "Errors", "Throttles", "ConcurrentExecutions"}),
}
"""What the dashboard may show: namespace → its dimensions and metrics."""


@pytest.fixture(scope="module")
def widgets(template: dict[str, Any]) -> list[dict[str, Any]]:
    """The dashboard's widgets as they come out; what is not a parameter stays as ${NAME}."""
    text: str = template["Resources"]["OperationsDashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    for name, one in template["Parameters"].items():
        text = text.replace(f"${{{name}}}", str(one.get("Default", "")))
    found: list[dict[str, Any]] = json.loads(named(text))["widgets"]
    return found


def metrics_of(widget: dict[str, Any]) -> Iterator[list[str]]:
    """The metrics of a widget, each written out: namespace, name, dimension, value."""
    last: list[str] = []
    for line in widget["properties"].get("metrics", ()):
        words = [one for one in line if isinstance(one, str)]
        if not words:
            continue
        said = last if words == ["..."] else [last[at] if one == "." else one for at, one in enumerate(words)]
        yield (last := said)


def test_the_dashboard_is_paid_for_only_where_it_is_wanted(template: dict[str, Any]) -> None:
    assert template["Resources"]["OperationsDashboard"]["Condition"] == "WithDashboard"
    assert template["Parameters"]["Dashboard"]["Default"] == "false"


def test_the_dashboard_shows_every_alarm(template: dict[str, Any], widgets: list[dict[str, Any]]) -> None:
    alarms = [name for name, one in template["Resources"].items() if one["Type"] == "AWS::CloudWatch::Alarm"]
    shown = next(one["properties"]["alarms"] for one in widgets if one["type"] == "alarm")
    assert {one.removeprefix("${").removesuffix(".Arn}") for one in shown} == set(alarms)


def test_the_dashboard_shows_metrics_that_there_are(widgets: list[dict[str, Any]]) -> None:
    shown = [one for widget in widgets for one in metrics_of(widget)]
    for namespace, metric, dimension, _ in shown:
        dimensions, names = KNOWN[namespace]
        assert (dimension in dimensions, metric in names) == (True, True), (namespace, metric, dimension)
    assert {metric for namespace, metric, *_ in shown if namespace == "imgpipe"} == set(UNITS)


def test_the_dashboard_calculates_with_what_it_has(widgets: list[dict[str, Any]]) -> None:
    for widget in widgets:
        lines = [line[-1] for line in widget["properties"].get("metrics", ()) if isinstance(line[-1], dict)]
        ids = {one["id"] for one in lines if "id" in one}
        formulas = [one["expression"] for one in lines if "expression" in one and "SEARCH" not in one["expression"]]
        words = {word for one in formulas for word in re.findall(r"[A-Za-z_]\w*|\$\{\w+\}", one)}
        assert words - {"RUNNING_SUM", "FILL"} == ids


def test_the_widgets_of_the_dashboard_do_not_overlap(widgets: list[dict[str, Any]]) -> None:
    cells = [
        (column, row)
        for one in widgets
        for column in range(one["x"], one["x"] + one["width"])
        for row in range(one["y"], one["y"] + one["height"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) == 23
    assert len(cells) == 24 * (1 + max(row for _, row in cells))


def test_the_dashboard_warns_where_the_alarms_do(resources: dict[str, Any], widgets: list[dict[str, Any]]) -> None:
    lines = [
        line
        for one in widgets
        for line in one["properties"].get("annotations", {}).get("horizontal", ())
        if line["label"] == "alarm"
    ]
    assert {line["value"] for line in lines} == {resources["DurationAlarm"]["Threshold"], 300}
