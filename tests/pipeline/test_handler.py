"""The Lambda entry: what it answers, how it asks for another try, and what it prints."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO, StringIO
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest
from PIL import Image

from image_pipeline.faults import TransientError
from image_pipeline.record import Refusal, RefusedError
from image_pipeline.storage import Served, Storage

if TYPE_CHECKING:
    from conftest import Bench

CONTEXT = SimpleNamespace(aws_request_id="req-1", get_remaining_time_in_millis=lambda: 42_000)


def picture() -> bytes:
    """A small PNG."""
    out = BytesIO()
    Image.new("RGB", (9, 6), (200, 30, 60)).save(out, "PNG")
    return out.getvalue()


def notification(bucket: str, key: str) -> dict[str, Any]:
    """What S3 sends."""
    return {
        "Records": [
            {
                "eventTime": "2026-03-01T12:30:45.123Z",
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(key)}},
            }
        ]
    }


class Setting:
    """The handler's module as Lambda imports it, with a real queue, and what it did to the queue and to stdout."""

    def __init__(self, bench: Bench, module: ModuleType, printed: Callable[[], str]) -> None:
        self.bench, self.module, self._printed = bench, module, printed
        self.queue_url = module.settings.queue_url
        self.visibility: list[int] = []

    def note(self, params: dict[str, Any], **_: Any) -> None:
        """Remember a visibility timeout that is about to be set."""
        self.visibility.append(params["VisibilityTimeout"])

    def receive(self, body: Any, count: int = 1) -> dict[str, Any]:
        """The SQS batch that Lambda would deliver for one message that is really in the queue."""
        sqs = self.bench.clients["sqs"]
        sqs.send_message(QueueUrl=self.queue_url, MessageBody=body if isinstance(body, str) else json.dumps(body))
        (message,) = sqs.receive_message(QueueUrl=self.queue_url, WaitTimeSeconds=2)["Messages"]
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": {"ApproximateReceiveCount": str(count)},
            "eventSource": "aws:sqs",
        }
        return {"Records": [record]}

    def handle(self, event: Any) -> Any:
        return self.module.handler(event, CONTEXT)

    def printed(self) -> list[dict[str, Any]]:
        """Every line of the log, each of which is JSON."""
        return [json.loads(line) for line in self._printed().splitlines()]


@pytest.fixture(scope="module")
def module(bench: Bench) -> Iterator[ModuleType]:
    """The handler's module, imported as Lambda imports it: with the stack in its environment."""
    url = bench.clients["sqs"].create_queue(QueueName=f"{bench.settings.stack}-jobs")["QueueUrl"]
    environment = {
        "IMGPIPE_STACK": bench.settings.stack,
        "IMGPIPE_ACCOUNT": bench.settings.account,
        "IMGPIPE_INPUT_BUCKET": bench.settings.input_bucket,
        "IMGPIPE_RESIZED_BUCKET": bench.settings.resized_bucket,
        "IMGPIPE_THUMBNAILS_BUCKET": bench.settings.thumbnails_bucket,
        "IMGPIPE_TABLE": bench.settings.table,
        "IMGPIPE_QUEUE_URL": url,
        "AWS_ENDPOINT_URL": str(bench.clients.connection.endpoint_url),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        for name in ("telemetry", "clients", "process", "handler"):
            patch.delitem(sys.modules, f"image_pipeline.{name}", raising=False)
        yield importlib.import_module("image_pipeline.handler")


@pytest.fixture
def setting(
    bench: Bench, module: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Setting]:
    """The module as it is before its first call."""
    monkeypatch.setattr(module, "_cold", True)
    # The logger keeps the stdout that it was made with; the metrics are printed to the one of the call.
    logged = StringIO()
    module.logger.registered_handler.setStream(logged)
    setting = Setting(bench, module, lambda: logged.getvalue() + capsys.readouterr().out)
    watched = ("before-parameter-build.sqs.ChangeMessageVisibility", setting.note)
    module._queue().meta.events.register(*watched)
    yield setting
    module._queue().meta.events.unregister(*watched)
    bench.clients["sqs"].purge_queue(QueueUrl=setting.queue_url)


def test_a_message_that_is_done_is_acknowledged(setting: Setting) -> None:
    key = setting.bench.fresh_key()
    setting.bench.put(key, picture())
    event = setting.receive(notification(setting.bench.settings.input_bucket, key))
    assert setting.handle(event) == {"batchItemFailures": []}
    assert setting.bench.is_conserved(key)
    assert setting.visibility == []


def test_every_log_line_of_an_image_carries_its_key_and_the_request(setting: Setting) -> None:
    key = f'{setting.bench.fresh_key()}\n{{"level":"ERROR"}}\x1b[31m'
    setting.bench.put(key, picture())
    setting.handle(setting.receive(notification(setting.bench.settings.input_bucket, key)))
    logs = [line for line in setting.printed() if "_aws" not in line]
    assert [line["message"] for line in logs] == ["Received", "Ready"]
    assert {(line["image_key"], line["request_id"], line["level"]) for line in logs} == {(key, "req-1", "INFO")}


def test_an_image_becomes_one_line_of_metrics(setting: Setting) -> None:
    key = setting.bench.fresh_key()
    setting.bench.put(key, picture())
    setting.handle(setting.receive(notification(setting.bench.settings.input_bucket, key)))
    (line,) = [line for line in setting.printed() if "_aws" in line]
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "imgpipe"
    assert directive["Dimensions"] == [["service"]]
    assert line["service"] == setting.module.settings.stack
    assert {one["Name"] for one in directive["Metrics"]} == {
        *("ImagesReady", "BytesIn", "BytesOut", "ProcessingTime", "EndToEndLatency", "ColdStart")
    }
    assert line["ColdStart"] == [1]
    assert line["BytesIn"] == [len(picture())]


def test_a_refused_image_is_acknowledged_and_counted_by_code(setting: Setting) -> None:
    key = setting.bench.fresh_key()
    setting.bench.put(key, b"no picture")
    event = setting.receive(notification(setting.bench.settings.input_bucket, key))
    assert setting.handle(event) == {"batchItemFailures": []}
    (counted,) = [line for line in setting.printed() if "ImagesFailed" in line]
    assert counted["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"], ["service", "code"]]
    assert counted["code"] == "unsupported_type"


@pytest.mark.parametrize(("count", "low", "high"), [(1, 1, 3), (2, 7, 13), (3, 45, 75), (7, 2700, 4500)])
def test_a_transient_error_comes_back_later_with_every_receive(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, count: int, low: int, high: int
) -> None:
    monkeypatch.setattr(setting.module._worker.storage, "open", failing)
    event = setting.receive(notification(setting.bench.settings.input_bucket, "k"), count)
    assert setting.handle(event) == {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    assert low <= setting.visibility[-1] <= high
    (line,) = [line for line in setting.printed() if "_aws" in line]
    assert line["ImagesRetried"] == [1]


def failing(*_: Any, **__: Any) -> Any:
    """S3 out of order."""
    raise TransientError("GetObject failed: SlowDown")


def test_from_the_second_receive_on_a_crash_would_come_back_soon(setting: Setting) -> None:
    key = setting.bench.fresh_key()
    setting.bench.put(key, picture())
    setting.handle(setting.receive(notification(setting.bench.settings.input_bucket, key), count=2))
    assert setting.visibility == [42 + 10]


def test_the_last_failure_leaves_its_reason_in_the_row(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    key = setting.bench.fresh_key()
    setting.bench.put(key, picture())
    monkeypatch.setattr(setting.module._worker.storage, "put", failing)
    event = setting.receive(notification(setting.bench.settings.input_bucket, key), count=8)
    assert len(setting.handle(event)["batchItemFailures"]) == 1
    row = setting.bench.row(key)
    assert row is not None
    assert row.failure is not None
    assert row.failure.code == "crashed"
    assert "SlowDown" in row.failure.reason
    assert setting.visibility[-1] == 1


def test_an_unexpected_error_is_logged_with_its_traceback_and_tried_again(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(setting.module._worker.storage, "open", broken)
    event = setting.receive(notification(setting.bench.settings.input_bucket, "k"))
    assert len(setting.handle(event)["batchItemFailures"]) == 1
    (line,) = [line for line in setting.printed() if line.get("level") == "ERROR"]
    assert line["image_key"] == "k"
    assert "ZeroDivisionError" in line["exception"]


def denied(bench: Bench) -> Callable[..., Any]:
    """Storage that may look at objects and not read them."""

    def open_(key: str) -> Served | None:
        found = Storage(bench.clients["s3"], bench.settings).look(key)
        return found and replace(found, refusal=RefusedError(Refusal.FORBIDDEN), passing=True)

    return open_


@pytest.mark.parametrize(("count", "comes_back"), [(1, True), (7, True), (8, False)])
def test_a_denial_is_written_down_at_once_and_looked_at_again_until_the_last_receive(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, count: int, comes_back: bool
) -> None:
    key = setting.bench.fresh_key()
    setting.bench.put(key, picture())
    monkeypatch.setattr(setting.module._worker.storage, "open", denied(setting.bench))
    event = setting.receive(notification(setting.bench.settings.input_bucket, key), count)
    assert len(setting.handle(event)["batchItemFailures"]) == comes_back
    row = setting.bench.row(key)
    assert row is not None
    assert row.failure is not None
    assert row.failure.code is Refusal.FORBIDDEN


@pytest.mark.parametrize("body", ["not json", {"hello": "world"}, notification("someone-elses-bucket", "k")])
def test_what_is_no_event_of_ours_fails_quickly_and_is_counted(setting: Setting, body: Any) -> None:
    assert len(setting.handle(setting.receive(body))["batchItemFailures"]) == 1
    assert setting.visibility == [1]
    assert any("MessagesRejected" in line for line in setting.printed())


def test_the_test_event_of_a_new_notification_is_acknowledged(setting: Setting) -> None:
    event = setting.receive({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "x"})
    assert setting.handle(event) == {"batchItemFailures": []}


def test_one_bad_message_does_not_bring_its_neighbours_back(setting: Setting) -> None:
    key = setting.bench.fresh_key()
    setting.bench.put(key, picture())
    good = setting.receive(notification(setting.bench.settings.input_bucket, key))["Records"]
    bad = setting.receive("not json")["Records"]
    answer = setting.handle({"Records": [*bad, *good]})
    assert answer == {"batchItemFailures": [{"itemIdentifier": bad[0]["messageId"]}]}
    assert setting.bench.is_conserved(key)


def test_a_bucket_wired_straight_to_the_function_works_and_raises_what_lambda_should_retry(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = setting.bench.fresh_key()
    setting.bench.put(key, picture())
    event = notification(setting.bench.settings.input_bucket, key)
    assert setting.handle(event) is None
    assert setting.bench.is_conserved(key)
    monkeypatch.setattr(setting.module._worker.storage, "open", failing)
    with pytest.raises(TransientError):
        setting.handle(event)


def test_trouble_with_the_visibility_timeout_is_swallowed(setting: Setting) -> None:
    event = setting.receive("not json")
    event["Records"][0]["receiptHandle"] = "no such handle"
    assert len(setting.handle(event)["batchItemFailures"]) == 1
