"""What an operator relies on: dead letters and the way back, logs, metrics, alarms, the limit on concurrency."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pictures
import pytest

if TYPE_CHECKING:
    from contract.stage import Stage

BURST = 12


def photo(width: int = 60, height: int = 40) -> bytes:
    return pictures.saved(pictures.scene(width, height), "JPEG")


def dead_letter(stage: Stage) -> None:
    """Send what is no event, once, and wait until it has failed all its receives."""
    if "rang before" in stage.shared:
        return
    stage.shared["rang before"] = ringing(stage)
    stage.clients["sqs"].send_message(QueueUrl=stage.outputs.jobs_queue_url, MessageBody="poison")
    stage.until(lambda: stage.depth(stage.outputs.dead_letter_queue_url) == 1)


def ringing(stage: Stage) -> list[str]:
    """The alarms that `status` shows."""
    return list(stage.must(stage.imgpipe("status", "--json"))["alarms"])


def must_be_quiet(alarm: str, rang: list[str]) -> None:
    """An alarm that rings all the time proves nothing."""
    if alarm in rang:
        pytest.fail(f"{alarm} rang before there was a reason")


@pytest.mark.promise("What is no event of S3 reaches the dead-letter queue, and `status` shows it")
def test_poison_reaches_the_dead_letter_queue(stage: Stage) -> None:
    dead_letter(stage)
    assert stage.soon(lambda: stage.imgpipe("status", "--json").document["queues"]["dead"] == 1)
    assert stage.soon(lambda: stage.depth(stage.outputs.jobs_queue_url) == 0)


@pytest.mark.promise("A dead letter that is sent back by hand is processed")
def test_a_dead_letter_is_sent_back(stage: Stage) -> None:
    lost_event(stage, "sent-back.jpg")
    sqs, names, found = stage.clients["sqs"], stage.outputs, []

    def sent_back() -> bool:
        answer = sqs.receive_message(QueueUrl=names.dead_letter_queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for one in answer.get("Messages", ()):
            if one["Body"] != "poison":
                sqs.send_message(QueueUrl=names.jobs_queue_url, MessageBody=one["Body"])
                sqs.delete_message(QueueUrl=names.dead_letter_queue_url, ReceiptHandle=one["ReceiptHandle"])
                found.append(one["Body"])
        return bool(found)

    stage.until(sent_back)
    assert stage.soon(lambda: stage.meta("sent-back.jpg"))


@pytest.mark.promise("`failures` lists a dead letter, and `failures redrive` brings its image back")
def test_failures_redrive(stage: Stage) -> None:
    key = "by-command.jpg"
    lost_event(stage, key)

    def listed() -> bool:
        letters = stage.must(stage.imgpipe("failures", "--json"))["dead_letters"]
        return key in {one["image_key"] for one in letters}

    assert stage.soon(listed)
    done = stage.imgpipe("failures", "redrive", key, "--json")
    assert (done.status, done.document["dead_letters"], done.document["not_found"]) == (0, 1, [])
    assert stage.soon(lambda: stage.meta(key))
    assert not listed()


@pytest.mark.promise("SQS redrives dead letters by itself (StartMessageMoveTask)")
def test_native_redrive(stage: Stage) -> None:
    lost_event(stage, "redriven.jpg")
    sqs, names = stage.clients["sqs"], stage.outputs
    dead, jobs = (
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for url in (names.dead_letter_queue_url, names.jobs_queue_url)
    )
    sqs.start_message_move_task(SourceArn=dead, DestinationArn=jobs)
    assert stage.soon(lambda: stage.meta("redriven.jpg"))


def lost_event(stage: Stage, key: str) -> None:
    """An image without a row whose event lies in the dead-letter queue, as after a long outage."""
    stage.ready(key, photo())
    names = stage.outputs
    stage.clients["dynamodb"].delete_item(TableName=names.table, Key={"image_key": {"S": key}})
    s3 = {"bucket": {"name": names.input_bucket}, "object": {"key": quote_plus(key)}}
    body = json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": s3}]})
    stage.clients["sqs"].send_message(QueueUrl=names.dead_letter_queue_url, MessageBody=body)


def lines(stage: Stage, *options: str) -> list[dict[str, Any]]:
    return list(stage.must(stage.imgpipe("logs", "--json", *options))["events"])


def about(events: list[dict[str, Any]], key: str, said: str) -> list[dict[str, Any]]:
    """The lines that name an image and say something."""
    messages = [one["message"] for one in events]
    found = zip(events, messages, strict=True)
    return [e for e, m in found if isinstance(m, dict) and (m.get("image_key"), m.get("message")) == (key, said)]


def logged(stage: Stage, key: str) -> None:
    """Wait until the log says that an image is ready.

    A Lambda that LocalStack runs beside itself prints into a pipe, and what is read of it late, on a busy machine, is
    shown with the invocation after: so there is one.
    """

    def says_so() -> bool:
        if about(lines(stage), key, "Ready"):
            return True
        if stage.target == "localstack":
            stage.clients["lambda"].invoke(FunctionName=stage.names.function, Payload=b'{"Records": []}')
        return False

    stage.until(says_so)


def two_logged(stage: Stage) -> list[dict[str, Any]]:
    """The whole log, with one image after another in it."""
    for key in ("log/first.jpg", "log/second.jpg"):
        if stage.shared.setdefault(key, "new") == "new":
            stage.ready(key, photo())
            logged(stage, key)
            stage.shared[key] = "logged"
    return lines(stage)


@pytest.mark.promise("`logs` shows every line once, of everything, of one image, or since a moment")
def test_logs(stage: Stage) -> None:
    everything = two_logged(stage)
    for key in ("log/first.jpg", "log/second.jpg"):
        assert len(about(everything, key, "Received")) == len(about(everything, key, "Ready")) == 1
    of_one = lines(stage, "--key", "log/first.jpg")
    assert len(about(of_one, "log/first.jpg", "Ready")) == 1
    assert "log/second.jpg" not in str(of_one)
    (first,) = about(everything, "log/first.jpg", "Ready")
    moment = datetime.fromisoformat(first["timestamp"]) + timedelta(milliseconds=1)
    later = lines(stage, "--since", moment.isoformat())
    assert about(later, "log/first.jpg", "Ready") == []
    assert len(about(later, "log/second.jpg", "Ready")) == 1


@pytest.mark.promise("Every log line has the time at which it was written")
def test_lines_have_times_of_their_own(stage: Stage) -> None:
    key = "log/large.jpg"
    stage.ready(key, photo(3000, 2000))
    logged(stage, key)
    events = lines(stage)
    (received,), (ready,) = about(events, key, "Received"), about(events, key, "Ready")
    assert received["timestamp"] < ready["timestamp"]


@pytest.mark.promise("CloudWatch Logs selects lines by a JSON filter pattern")
def test_filter_patterns(stage: Stage) -> None:
    two_logged(stage)
    pattern = '{ $.image_key = "log/first.jpg" && $.message = "Ready" }'

    def selected() -> list[Any]:
        pages = stage.clients["logs"].get_paginator("filter_log_events")
        answer = pages.paginate(logGroupName=stage.outputs.log_group, filterPattern=pattern)
        return [event["message"] for page in answer for event in page["events"]]

    found = stage.soon(selected)
    assert len(found) == 1
    assert json.loads(found[0])["message"] == "Ready"


@pytest.mark.promise("A burst is worked on to its end, by no more workers at once than are allowed")
def test_concurrency_is_limited(stage: Stage) -> None:
    folder = stage.folder / "burst"
    folder.mkdir()
    for n in range(BURST):
        (folder / f"{n}.png").write_bytes(pictures.saved(pictures.scene(1200, 900 + n), "PNG"))
    done = stage.imgpipe("upload", "--json", "--timeout", str(stage.patience), "--prefix", "burst/", str(folder))
    assert done.status == 0
    assert done.document["summary"] == {"ready": BURST, "failed": 0, "timed_out": 0}
    assert 1 <= most_at_once(done.document["images"]) <= 2


def most_at_once(records: list[dict[str, Any]]) -> int:
    """How many of the records were made at the same time, at most."""
    moments: list[tuple[datetime, int]] = []
    for one in records:
        end = datetime.fromisoformat(one["processed_at"])
        moments += [(end - timedelta(milliseconds=one["timings_ms"]["total"]), 1), (end, -1)]
    return max(itertools.accumulate(step for _, step in sorted(moments)))


def total(stage: Stage, namespace: str, name: str, statistic: str = "Sum", **dimensions: str) -> float:
    """A metric (its Sum) or how often it was measured (SampleCount) within the last hour."""
    now = datetime.now(UTC)
    points = stage.clients["cloudwatch"].get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": one, "Value": value} for one, value in dimensions.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=[statistic],
    )["Datapoints"]
    return sum(float(one[statistic]) for one in points)


@pytest.mark.promise("CloudWatch counts the function's invocations and errors")
def test_invocations_and_errors_are_counted(stage: Stage) -> None:
    function = stage.outputs.function
    for n in range(3):
        stage.ready(f"counted/{n}.jpg", photo())
    answer = stage.clients["lambda"].invoke(FunctionName=function, Payload=b'{"no": "event"}')
    assert "FunctionError" in answer
    assert stage.soon(lambda: total(stage, "AWS/Lambda", "Invocations", FunctionName=function) >= 4)
    assert stage.soon(lambda: total(stage, "AWS/Lambda", "Errors", FunctionName=function) >= 1)


@pytest.mark.promise("CloudWatch measures the function's duration")
def test_duration_is_measured(stage: Stage) -> None:
    function = stage.outputs.function
    for n in range(3):
        stage.ready(f"measured/{n}.jpg", photo())
    assert stage.soon(lambda: total(stage, "AWS/Lambda", "Duration", "SampleCount", FunctionName=function) >= 3)
    assert total(stage, "AWS/Lambda", "Duration", FunctionName=function) > 0


@pytest.mark.promise("Embedded metrics of the log become metrics (EMF)")
def test_embedded_metrics(stage: Stage) -> None:
    stage.ready("embedded.jpg", photo())
    assert stage.soon(lambda: total(stage, "imgpipe", "ImagesReady", service=stage.stack) >= 1)


@pytest.mark.promise("`metrics` counts images, measures how long they took, and shows the queues")
def test_metrics(stage: Stage) -> None:
    stage.ready("shown.jpg", photo())

    def figures() -> dict[str, Any]:
        return dict(stage.must(stage.imgpipe("metrics", "--json"))["figures"])

    assert stage.soon(lambda: figures()["ready"] >= 1)
    found = figures()
    assert 0 < found["processing_p50_ms"] <= found["processing_p95_ms"]
    assert 0 < found["latency_p50_ms"] <= found["latency_p95_ms"]
    assert found["bytes_in"] > 0
    assert found["waiting"] is not None


@pytest.mark.promise("The alarm for many refused images rings")
def test_the_alarm_on_embedded_metrics_rings(stage: Stage) -> None:
    alarm, folder = f"{stage.stack}-images-failed", stage.folder / "refused"
    must_be_quiet(alarm, ringing(stage))
    folder.mkdir()
    names = []
    for n in range(10):
        names.append(str(folder / f"{n}.jpg"))
        (folder / f"{n}.jpg").write_bytes(b"no picture")
    stage.must(stage.imgpipe("upload", "--json", "--timeout", str(stage.patience), *names), status=3)
    assert stage.soon(lambda: alarm in ringing(stage))


@pytest.mark.promise("The alarm for dead letters rings, and `status` shows it")
def test_the_alarm_for_dead_letters_rings(stage: Stage) -> None:
    """Here at the end, for a minute goes by before it does: the message was sent by the first test."""
    dead_letter(stage)
    alarm = f"{stage.stack}-dead-letters"
    must_be_quiet(alarm, stage.shared["rang before"])
    assert stage.soon(lambda: alarm in ringing(stage))
