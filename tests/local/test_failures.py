"""Dead letters and failed images: seen without being taken, sent back, given up; and never lost on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pictures
import pytest

from image_pipeline.record import Status
from imgpipe.deadletters import Look

from .conftest import until
from .test_reprocess import unnoticed

if TYPE_CHECKING:
    from conftest import Bucket, Pipeline

ODD = "odd/a b+c%2F \"'<&é\u202e?.jpg"


def photo() -> bytes:
    return pictures.saved(pictures.scene(60, 40), "JPEG")


def event(bucket: Bucket, key: str) -> str:
    s3 = {"bucket": {"name": bucket.outputs.input_bucket}, "object": {"key": quote_plus(key)}}
    return json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": s3}]})


def bury(bucket: Bucket, *bodies: str) -> None:
    """Put messages into the dead-letter queue, where some other way would take them half a minute."""
    url = bucket.outputs.dead_letter_queue_url
    for start in range(0, len(bodies), 10):
        part = bodies[start : start + 10]
        entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(part)]
        bucket.clients["sqs"].send_message_batch(QueueUrl=url, Entries=entries)


def dead(bucket: Bucket) -> int:
    return bucket.depth(bucket.outputs.dead_letter_queue_url)


def visible(bucket: Bucket) -> int:
    name = "ApproximateNumberOfMessages"
    answer = bucket.clients["sqs"].get_queue_attributes(
        QueueUrl=bucket.outputs.dead_letter_queue_url, AttributeNames=[name]
    )
    return int(answer["Attributes"][name])


def written(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@contextmanager
def the_table_out_of_reach(bucket: Bucket) -> Iterator[None]:
    functions, name = bucket.clients["lambda"], bucket.outputs.function
    before = functions.get_function_configuration(FunctionName=name)["Environment"]
    broken = {"Variables": {**before["Variables"], "IMGPIPE_TABLE": "imgpipe-nowhere"}}
    functions.update_function_configuration(FunctionName=name, Environment=broken)
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Environment=before)


@pytest.fixture(autouse=True)
def nothing_left_over(bucket: Bucket) -> Iterator[None]:
    """Each test begins, and leaves the next one, without dead letters."""
    yield
    bucket.clients["sqs"].purge_queue(QueueUrl=bucket.outputs.dead_letter_queue_url)


def test_the_alarm_rings_within_half_a_minute_of_a_dead_letter_and_until_it_is_purged(
    pipeline: Pipeline, bucket: Bucket
) -> None:
    """First of all, for an alarm that has rung looks back a minute."""
    watch, name = bucket.clients["cloudwatch"], "imgpipe-dev-dead-letters"

    def alarm() -> dict[str, Any]:
        return dict(watch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0])

    def shown() -> list[str]:
        return list(pipeline.imgpipe("status", "--json").document["alarms"])

    until(lambda: alarm()["StateValue"] == "OK")
    bury(bucket, "poison")
    until(lambda: alarm()["StateValue"] == "ALARM", 30)
    assert shown() == [name]
    # Of the minute that it looks back, ten seconds are enough to see that it ends.
    settings = watch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
    watch.put_metric_alarm(**{key: value for key, value in alarm().items() if key in settings} | {"Period": 10})
    until(lambda: alarm()["StateValue"] == "ALARM", 30)
    assert pipeline.imgpipe("failures", "purge", "--yes").status == 0
    until(lambda: alarm()["StateValue"] == "OK", 40)
    assert shown() == []


def test_what_failed_for_good_is_seen_and_goes_back_once_its_cause_is_gone(pipeline: Pipeline, bucket: Bucket) -> None:
    with the_table_out_of_reach(bucket):
        version = bucket.put(ODD, photo())
        bucket.clients["sqs"].send_message(QueueUrl=bucket.outputs.jobs_queue_url, MessageBody="poison\x7f " * 99)
        until(lambda: dead(bucket) == 2, 90)

    listed = pipeline.imgpipe("failures", "--json")
    assert listed.status == 0
    letters = {one["image_key"]: one for one in listed.document["dead_letters"]}
    assert letters.keys() == {ODD, None}
    assert (letters[ODD]["code"], letters[ODD]["excerpt"]) == ("no_record", None)
    assert (letters[None]["code"], letters[None]["excerpt"][:6]) == ("not_an_event", "poison")
    assert len(letters[None]["excerpt"]) <= 80
    assert all(one["receives"] >= 8 for one in letters.values())
    assert visible(bucket) == 2
    plain = pipeline.imgpipe("failures").out.splitlines()
    assert sorted(line.split("\t")[2] for line in plain if line.startswith("DEAD")) == ["no_record", "not_an_event"]

    told = pipeline.imgpipe("why", ODD, "--json").document
    assert told["state"] == "dead_lettered"
    assert told["next"].startswith("imgpipe failures redrive 'odd/")
    assert any("the last, failed" in one["what"] for one in told["moments"])

    done = pipeline.imgpipe("failures", "redrive", ODD, "--json")
    counts = {"redriven": 1, "dead_letters": 1, "failed": 0, "not_sent": 0, "not_found": []}
    assert (done.status, done.document) == (0, counts)
    assert bucket.row_of(ODD, version).status is Status.READY
    assert visible(bucket) == 1
    assert pipeline.imgpipe("failures", "purge", letters[None]["message_id"], "--yes").status == 0
    assert dead(bucket) == 0


def test_failed_images_are_listed_newest_first_and_made_again(pipeline: Pipeline, bucket: Bucket) -> None:
    for key in ("bad/1", "bad/2"):
        bucket.row_of(key, bucket.put(key, b"no image"))
    listed = pipeline.imgpipe("failures", "--json").document
    assert [one["image_key"] for one in listed["failed"]] == ["bad/2", "bad/1"]
    assert listed["failed"][0]["code"] == "unsupported_type"
    assert listed["failed"][0].keys() == {"image_key", "code", "reason", "failed_at"}
    before = bucket.rows()
    bury(bucket, event(bucket, "bad/1"))
    assert pipeline.imgpipe("failures", "--json").document["dead_letters"][0]["code"] == "unsupported_type"
    done = pipeline.imgpipe("failures", "redrive", "--json").document
    assert (done["dead_letters"], done["failed"]) == (1, 2)
    until(lambda: all(bucket.rows()[key].revision != before[key].revision for key in ("bad/1", "bad/2")))
    bucket.wait_until_quiet()
    for key in ("bad/1", "bad/2"):
        bucket.delete(key)
    until(lambda: bucket.row("bad/1") is None and bucket.row("bad/2") is None)
    assert "Nothing failed" in pipeline.imgpipe("failures").err


def test_what_can_never_be_processed_is_sent_back_once_and_does_not_go_round(
    pipeline: Pipeline, bucket: Bucket
) -> None:
    bury(bucket, *(f"poison {number}" for number in range(23)))
    done = pipeline.imgpipe("failures", "redrive", "--json")
    assert (done.status, done.document["dead_letters"]) == (0, 23)
    bucket.clients["sqs"].purge_queue(QueueUrl=bucket.outputs.jobs_queue_url)


def test_what_a_message_carries_beside_its_body_goes_back_with_it(pipeline: Pipeline, bucket: Bucket) -> None:
    bucket.wait_until_quiet()
    sqs, names, mapping = bucket.clients["sqs"], bucket.outputs, bucket.outputs.event_source_mapping
    said = {"trace": {"DataType": "String", "StringValue": "abc"}, "raw": {"DataType": "Binary", "BinaryValue": b"\0"}}
    sqs.send_message(QueueUrl=names.dead_letter_queue_url, MessageBody="x", MessageAttributes=said)
    bucket.clients["lambda"].update_event_source_mapping(UUID=mapping, Enabled=False)
    try:
        assert pipeline.imgpipe("failures", "redrive").status == 0
        wanted = {"QueueUrl": names.jobs_queue_url, "MessageAttributeNames": ["All"], "MaxNumberOfMessages": 10}
        messages = {one["Body"]: one for one in sqs.receive_message(**wanted)["Messages"]}
        assert messages["x"]["MessageAttributes"] == said, messages
    finally:
        sqs.purge_queue(QueueUrl=names.jobs_queue_url)
        bucket.clients["lambda"].update_event_source_mapping(UUID=mapping, Enabled=True)


def test_a_key_under_which_nothing_failed_is_named(pipeline: Pipeline, bucket: Bucket) -> None:
    bury(bucket, "kept")
    done = pipeline.imgpipe("failures", "redrive", "nothing.jpg", "--json")
    assert (done.status, done.document["not_found"], done.document["redriven"]) == (3, ["nothing.jpg"], 0)
    assert "imgpipe why nothing.jpg" in pipeline.imgpipe("failures", "redrive", "nothing.jpg").err
    assert visible(bucket) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interruption_before_or_after_deleting_loses_nothing(
    pipeline: Pipeline, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    keys = [f"cut/{when}/{number}" for number in range(15)]
    delete = Look.delete
    with unnoticed(bucket):
        sent = {key: bucket.put(key, photo()) for key in keys}
    bury(bucket, *(event(bucket, key) for key in keys))

    def ctrl_c(look: Look, letters: Any) -> None:
        if when == "after":
            delete(look, letters)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Look, "delete", ctrl_c)
        done = pipeline.imgpipe("failures", "redrive", "--json")
    assert (done.status, done.document["error"]["code"]) == (130, "interrupted")
    assert done.document["error"]["hint"].startswith("imgpipe failures redrive")
    left = visible(bucket)
    assert left == 15 if when == "before" else 0 < left < 15

    again = pipeline.imgpipe("failures", "redrive", "--json")
    assert (again.status, again.document["dead_letters"], dead(bucket)) == (0, left, 0)
    for key, version in sent.items():
        assert bucket.row_of(key, version).status is Status.READY
    bucket.wait_until_quiet()
    assert bucket.orphans() == set()


def test_thousands_are_purged_into_a_file_and_a_list_shows_the_first_of_them(
    pipeline: Pipeline, bucket: Bucket, tmp_path: Path
) -> None:
    bury(bucket, *(f"poison {number}" for number in range(1005)))
    listed = pipeline.imgpipe("failures", "--limit", "5", "--json").document
    assert (len(listed["dead_letters"]), listed["more"]) == (5, {"failed": 0, "dead_letters": 1000})
    assert "1000 more dead letters" in pipeline.imgpipe("failures", "--limit", "5").err
    assert visible(bucket) == 1005

    file = tmp_path / "given-up.jsonl"
    done = pipeline.imgpipe("failures", "purge", "--yes", "-o", str(file), "--json")
    assert (done.status, done.document) == (0, {"purged": 1005, "exported": 1005, "file": str(file)})
    assert {one["body"] for one in written(file)} == {f"poison {number}" for number in range(1005)}
    assert file.stat().st_mode & 0o777 == 0o600
    assert dead(bucket) == 0


def test_what_was_purged_can_be_sent_again_from_its_file(pipeline: Pipeline, bucket: Bucket, tmp_path: Path) -> None:
    with unnoticed(bucket):
        version = bucket.put(ODD + "2", photo())
    bury(bucket, event(bucket, ODD + "2"), "another")
    done = pipeline.imgpipe("failures", "purge", ODD + "2", "--yes", cwd=tmp_path)
    [file] = tmp_path.iterdir()
    assert file.name in done.out
    [line] = written(file)
    assert (line["image_key"], visible(bucket)) == (ODD + "2", 1)
    bucket.clients["sqs"].send_message(QueueUrl=bucket.outputs.jobs_queue_url, MessageBody=line["body"])
    assert bucket.row_of(ODD + "2", version).status is Status.READY


def test_nothing_is_deleted_that_nobody_agreed_to_or_that_cannot_be_kept(
    pipeline: Pipeline, bucket: Bucket, tmp_path: Path
) -> None:
    bury(bucket, "one", "two")
    refused = pipeline.imgpipe("failures", "purge", "--json", cwd=tmp_path)
    assert (refused.status, refused.document["error"]["hint"]) == (6, "add --yes")
    nowhere = pipeline.imgpipe("failures", "purge", "--yes", "-o", str(tmp_path / "no" / "file"), "--json")
    assert (nowhere.status, nowhere.document["error"]["code"]) == (1, "system")
    assert (visible(bucket), list(tmp_path.iterdir())) == (2, [])


def test_an_interrupted_purge_goes_on_in_the_same_file(
    pipeline: Pipeline, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(bucket, *(f"poison {number}" for number in range(25)))
    delete, file = Look.delete, tmp_path / "kept.jsonl"
    calls: list[int] = []

    def then_ctrl_c(look: Look, letters: Any) -> Any:
        calls.append(len(letters))
        done = delete(look, letters)
        if len(calls) == 2:
            with file.open("a") as torn:
                torn.write('{"message_id": "half a li')
            raise KeyboardInterrupt
        return done

    command = ("failures", "purge", "--yes", "-o", str(file))
    with monkeypatch.context() as patch:
        patch.setattr(Look, "delete", then_ctrl_c)
        done = pipeline.imgpipe(*command)
    assert done.status == 130
    assert f"purge -o {file}" in done.err
    assert visible(bucket) == 25 - sum(calls) > 0
    assert pipeline.imgpipe(*command).status == 0
    assert dead(bucket) == 0
    whole = [line for line in file.read_text().splitlines() if line.endswith("}")]
    assert len(file.read_text().splitlines()) == len(whole) + 1
    assert {json.loads(line)["body"] for line in whole} == {f"poison {number}" for number in range(25)}


@pytest.mark.parametrize(
    "arguments",
    [("--yes",), ("redrive", "--yes"), ("redrive", "-o", "file"), ("redrive", ""), ("purge", ""), ("mend",)],
)
def test_what_does_not_go_together_is_a_usage_error(pipeline: Pipeline, arguments: tuple[str, ...]) -> None:
    done = pipeline.imgpipe("failures", *arguments, "--json")
    assert (done.status, done.document["error"]["code"]) == (2, "usage")
