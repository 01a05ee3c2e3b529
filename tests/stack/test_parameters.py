"""What a configuration may set of the stack is what the deployed stack then has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from imgpipe.aws import Clients
from imgpipe.config import load
from imgpipe.stack.deploy import Deployment
from imgpipe.stack.names import Names
from imgpipe.stack.parameters import PARAMETERS

Deploy = Callable[..., Deployment]

FILE = """
[parameters]
memory = 2048
concurrency = 3
architecture = "x86_64"
python = "3.14"
version_days = 3
log_days = 7
dashboard = true
alarm_email = "ops@example.org"
permissions_boundary = "{boundary}"
kms_key = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"

[limits]
max_bytes = 1_000_000
max_pixels = 2_000_000
max_side = 3_000
max_scans = 4

[alarms]
backlog_seconds = 60
failed_images = 5
retried_images = 6
"""
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'


def test_a_file_that_says_everything_deploys_and_holds(
    clients: Clients, names: Names, up: Deploy, tmp_path: Path
) -> None:
    boundary = clients["iam"].create_policy(PolicyName=names.stack, PolicyDocument=POLICY)["Policy"]["Arn"]
    (tmp_path / "imgpipe.toml").write_text(FILE.format(boundary=boundary))
    said = load({}, {}, tmp_path).parameters
    assert set(said) == {one.name for one in PARAMETERS}

    outputs = up(**said).outputs

    function = clients["lambda"].get_function_configuration(FunctionName=names.function)
    assert (function["MemorySize"], function["Runtime"], function["Architectures"]) == (2048, "python3.14", ["x86_64"])
    limits = {name: function["Environment"]["Variables"][f"IMGPIPE_MAX_{name}"] for name in ("BYTES", "PIXELS", "SIDE")}
    assert limits == {"BYTES": "1000000", "PIXELS": "2000000", "SIDE": "3000"}
    mapping = clients["lambda"].get_event_source_mapping(UUID=outputs.event_source_mapping)
    assert int(mapping["ScalingConfig"]["MaximumConcurrency"]) == 3
    [group] = clients["logs"].describe_log_groups(logGroupNamePrefix=names.log_group)["logGroups"]
    assert int(group["retentionInDays"]) == 7
    [mailed] = clients["sns"].list_subscriptions_by_topic(TopicArn=outputs.topic)["Subscriptions"]
    assert (mailed["Protocol"], mailed["Endpoint"]) == ("email", "ops@example.org")
    alarms = clients["cloudwatch"].describe_alarms(AlarmNamePrefix=names.stack)["MetricAlarms"]
    thresholds = {one["AlarmName"].removeprefix(f"{names.stack}-"): one["Threshold"] for one in alarms}
    assert (thresholds["backlog-age"], thresholds["images-failed"], thresholds["images-retried"]) == (60, 5, 6)

    up(**{**said, "AlarmEmail": ""})
    assert clients["sns"].list_subscriptions_by_topic(TopicArn=outputs.topic)["Subscriptions"] == []
    clients["iam"].delete_policy(PolicyArn=boundary)
