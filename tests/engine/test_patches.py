"""Each patch of ministack by the behaviour that it promises; these fail when another version moves what is replaced."""

from __future__ import annotations

import inspect
import io
import itertools
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ministack.services import cloudwatch_logs, dynamodb, lambda_svc, s3

from imgpipe.aws import Clients
from imgpipe.engine import patches
from imgpipe.errors import ImgpipeError


def test_another_version_of_ministack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "version", lambda _: "1.6.0")
    with pytest.raises(ImgpipeError, match=r"needs ministack 1\.5\.33; 1\.6\.0 is installed"):
        patches.check_version()


def test_the_version_that_is_installed_is_the_one_the_patches_are_for() -> None:
    patches.check_version()


def test_concurrency_from_a_parameter_is_a_number_and_limits_the_workers(
    clients: Clients, make_flow: Callable[..., Any]
) -> None:
    flow = make_flow(clients)
    for _ in range(12):
        flow.order(do="sleep", seconds=0.05)

    seen = flow.take("seen", 12)

    assert len({one["pid"] for one in seen}) <= 2
    [mapping] = clients["lambda"].list_event_source_mappings(FunctionName=flow.name)["EventSourceMappings"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}


def test_queue_urls_and_the_endpoint_resolve_inside_the_handler(
    clients: Clients, make_flow: Callable[..., Any]
) -> None:
    flow = make_flow(clients)
    flow.order(do="work")
    [seen] = flow.take("seen", 1)
    assert seen["endpoint"] == clients.connection.endpoint_url


def test_a_partial_failure_brings_back_only_what_failed(
    clients: Clients, make_flow: Callable[..., Any], until: Callable[..., Any]
) -> None:
    flow = make_flow(clients, batch=5)
    for n in range(4):
        flow.order(do="retry" if n == 2 else "work", n=n)

    seen = [(one["order"]["n"], one["receives"]) for one in flow.take("seen", 5)]

    assert sorted(seen) == [(0, 1), (1, 1), (2, 1), (2, 2), (3, 1)]
    until(lambda: flow.waiting("jobs") == 0)


def test_a_message_that_never_succeeds_reaches_the_dead_letter_queue(
    clients: Clients, make_flow: Callable[..., Any]
) -> None:
    flow = make_flow(clients, receives=3)
    flow.order(do="retry", times=99)

    assert [one["receives"] for one in flow.take("seen", 3)] == [1, 2, 3]
    assert flow.take("dead", 1) == [{"do": "retry", "times": 99}]
    assert flow.waiting("jobs") == 0


@pytest.mark.parametrize("order", [{"do": "sleep", "seconds": 30}, {"do": "die"}], ids=["timeout", "dead worker"])
def test_a_message_comes_back_when_its_worker_did_not_finish(
    clients: Clients, make_flow: Callable[..., Any], until: Callable[..., Any], order: dict[str, Any]
) -> None:
    flow = make_flow(clients, visibility=3, timeout=2, receives=50)
    flow.order(**order)
    until(lambda: flow.take("seen", 1)[0]["receives"] >= 2)
    until(lambda: flow.waiting("jobs") == 0)


def test_no_message_is_lost_while_others_are_sent_and_taken(
    clients: Clients, make_flow: Callable[..., Any], until: Callable[..., Any]
) -> None:
    flow = make_flow(clients, batch=10)
    url = flow.url("jobs")
    for batch in range(10):
        entries = [{"Id": str(n), "MessageBody": f'{{"do": "work", "n": {batch * 10 + n}}}'} for n in range(10)]
        clients["sqs"].send_message_batch(QueueUrl=url, Entries=entries)

    assert {one["order"]["n"] for one in flow.take("seen", 100, 60)} == set(range(100))
    until(lambda: flow.waiting("jobs") == 0)


@pytest.fixture(scope="module")
def many_lines(clients: Clients) -> str:
    """A log group with 12,345 lines in two streams, many with the same time."""
    logs, group = clients["logs"], "many-lines"
    logs.create_log_group(logGroupName=group)
    numbers = itertools.count()
    for stream, count in (("one", 9_000), ("two", 3_345)):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        events = [{"timestamp": 1_700_000_000_000 + n // 500, "message": f"{next(numbers)}"} for n in range(count)]
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    return group


def _lines(clients: Clients, **request: Any) -> list[dict[str, Any]]:
    pages = clients["logs"].get_paginator("filter_log_events").paginate(**request)
    return [event for page in pages for event in page["events"]]


def test_a_log_group_can_be_read_beyond_ten_thousand_lines(clients: Clients, many_lines: str) -> None:
    events = _lines(clients, logGroupName=many_lines)

    assert sorted(int(one["message"]) for one in events) == list(range(12_345))
    assert [one["timestamp"] for one in events] == sorted(one["timestamp"] for one in events)
    for stream in ("one", "two"):
        numbers = [int(one["message"]) for one in events if one["logStreamName"] == stream]
        assert numbers == sorted(numbers)


def test_every_log_event_has_an_id_that_stays(clients: Clients, many_lines: str) -> None:
    first, again = (_lines(clients, logGroupName=many_lines, startTime=1_700_000_000_015) for _ in range(2))
    assert len({one["eventId"] for one in first}) == len(first)
    assert [one["eventId"] for one in first] == [one["eventId"] for one in again]


def test_the_limit_time_streams_and_pattern_of_a_log_request_hold(clients: Clients, many_lines: str) -> None:
    logs = clients["logs"]
    page = logs.filter_log_events(logGroupName=many_lines, limit=7, logStreamNames=["two"])
    assert [one["message"] for one in page["events"]] == [str(n) for n in range(9_000, 9_007)]
    page = logs.filter_log_events(logGroupName=many_lines, limit=7, logStreamNames=["two"], nextToken=page["nextToken"])
    assert page["events"][0]["message"] == "9007"
    between = _lines(
        clients, logGroupName=many_lines, startTime=1_700_000_000_001, endTime=1_700_000_000_001, limit=10_000
    )
    assert len(between) == 1_000
    assert [one["message"] for one in _lines(clients, logGroupName=many_lines, filterPattern="12344")] == ["12344"]
    assert {one["logStreamName"] for one in _lines(clients, logGroupName=many_lines, logStreamNamePrefix="t")} == {
        "two"
    }


def test_a_missing_log_group_is_an_error_of_aws(clients: Clients) -> None:
    logs = clients["logs"]
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.filter_log_events(logGroupName="no-such-group")


def test_the_lines_of_one_invocation_come_in_order(clients: Clients, until: Callable[..., Any]) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("lines.py", "def handler(event, context):\n    for n in range(50):\n        print('line', n)\n")
    functions = clients["lambda"]
    functions.create_function(
        FunctionName="lines",
        Runtime="python3.13",
        Handler="lines.handler",
        Role="arn:aws:iam::000000000000:role/test",
        Code={"ZipFile": archive.getvalue()},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName="lines", WaiterConfig={"Delay": 0.1})
    for _ in range(3):
        functions.invoke(FunctionName="lines")

    def events() -> list[dict[str, Any]]:
        try:
            found = _lines(clients, logGroupName="/aws/lambda/lines")
        except clients["logs"].exceptions.ResourceNotFoundException:
            return []
        return found if len(found) == 3 * 53 else []

    for _, run in itertools.groupby(until(events), key=lambda one: one["logStreamName"]):
        start, *lines, end, report = (one["message"] for one in run)
        assert lines == [f"line {n}" for n in range(50)]
        assert (start.split()[0], end.split()[0], report.split()[0]) == ("START", "END", "REPORT")


def _restored(monkeypatch: pytest.MonkeyPatch, module: Any, *names: str) -> None:
    """Let a patch replace these names for the time of one test."""
    for name in names:
        monkeypatch.setattr(module, name, getattr(module, name))


def test_code_is_removed_only_after_the_file_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[set[str]] = []
    assert "_prune_orphan_code_blobs(" in inspect.getsource(lambda_svc.get_state)
    monkeypatch.setattr(lambda_svc, "_prune_orphan_code_blobs", kept.append)
    patches._code_outlives_the_file_that_names_it()
    for referenced in ({"old"}, {"new"}, {"new"}):
        lambda_svc._prune_orphan_code_blobs(referenced)
    assert kept == [{"old"}, {"old", "new"}, {"new"}]


def test_no_two_keys_share_a_file_on_any_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _restored(monkeypatch, s3, "_plain_path_key", "_encoded_key_name")
    patches._keys_are_one_file_each()
    keys = ["photo", "Photo", "caf\u00e9", "cafe\u0301", "\u00c9", "deep/" * 200, "deep/" * 199 + "Deep/", "a/b", "a/B"]

    names = [str(s3._key_disk_path(str(tmp_path), key)).removeprefix(str(tmp_path)) for key in keys]

    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(keys)
    assert max(map(len, names)) < 255


def test_a_new_object_is_there_only_with_its_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _restored(monkeypatch, s3, "_atomic_write", "_persist_object")
    monkeypatch.setattr(s3, "DATA_DIR", str(tmp_path))
    assert "_atomic_write(fpath, data)" in inspect.getsource(s3._persist_object)
    patches._objects_are_whole_or_not_there()
    seen: list[set[str]] = []
    replace = Path.replace

    def noting(path: Path, target: str) -> Path:
        seen.append({one.name for one in tmp_path.rglob("*") if one.is_file() and one.suffix != ".tmp"})
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", noting)
    s3._persist_object("bucket", "photo.jpg", {"body": b"bytes", "version_id": "v1", "size": 5})

    assert seen == [{"photo.jpg.meta.json"}]
    [path] = tmp_path.rglob("photo.jpg")
    assert path.read_bytes() == b"bytes"
    assert not list(tmp_path.rglob("*.tmp"))


def test_only_the_saver_reads_without_copying(monkeypatch: pytest.MonkeyPatch) -> None:
    _restored(monkeypatch, dynamodb, "copy")
    _restored(monkeypatch, cloudwatch_logs, "copy")
    patches._saving_copies_nothing()
    rows: dict[str, Any] = {"row": {}}
    for module in (dynamodb, cloudwatch_logs):
        assert "copy.deepcopy(" in inspect.getsource(module.get_state)
        assert module.copy.deepcopy(rows)["row"] is not rows["row"]
        monkeypatch.setattr(patches.saving, "now", True, raising=False)
        assert module.copy.deepcopy(rows)["row"] is rows["row"]
        monkeypatch.setattr(patches.saving, "now", False)
