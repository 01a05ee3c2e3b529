"""The few places where the pinned ministack does not do what the pipeline is promised, put right.

Each function replaces private names of ministack and says why. They hold for exactly one version of it; the tests
of this module fail where another version moves them.
"""

from __future__ import annotations

import copy
import hashlib
import heapq
import html
import itertools
import re
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime, responses
from ministack.services import cloudwatch, cloudwatch_logs, dynamodb, lambda_svc, s3, sqs

from imgpipe.engine.later import postponed
from imgpipe.errors import ImgpipeError

with postponed():
    from ministack.services.cloudformation import changesets

PINNED = "1.5.33"


def check_version() -> None:
    """Refuse a ministack that the patches were not written for; raises ImgpipeError."""
    if (found := version("ministack")) != PINNED:
        raise ImgpipeError(
            "engine_version",
            f"The embedded engine needs ministack {PINNED}; {found} is installed.",
            f"pip install ministack=={PINNED}",
        )


def apply() -> None:
    """Apply every patch. Called once, before ministack serves or loads anything."""
    _workers_end_with_the_engine()
    _queues_come_back_usable()
    _concurrency_is_a_number()
    _code_outlives_the_file_that_names_it()
    _log_events_can_be_paged()
    _versions_of_any_key_can_be_listed()
    _keys_are_one_file_each()
    _objects_are_whole_or_not_there()
    _saving_copies_nothing()
    _change_sets_heed_conditions()


def _workers_end_with_the_engine() -> None:
    """A worker notices a closed stdin only between two events, so one that hangs would outlive a killed engine."""
    watch = """
import os as _os, threading as _threading, time as _time
def _end_with_the_engine(engine):
    while _os.getppid() == engine:
        _time.sleep(0.25)
    _os._exit(1)
_threading.Thread(target=_end_with_the_engine, args=(int(_os.environ["IMGPIPE_ENGINE_PID"]),), daemon=True).start()
"""
    lambda_runtime._PYTHON_WORKER_SCRIPT = watch + lambda_runtime._PYTHON_WORKER_SCRIPT


def _queues_come_back_usable() -> None:
    """Queues are found by a URL that holds the port, and messages wait for workers that died with the last engine."""
    restore = sqs._restore_state

    def restored(data: Any) -> None:
        restore(data)
        now = time.time()
        for (account, region, url), queue in list(sqs._queues._data.items()):
            for message in queue["messages"]:
                if message.get("receive_count"):
                    message["visible_at"] = min(message["visible_at"], now)
            current = sqs._queue_url_for_account(account, queue["name"])
            sqs._queues._data[account, region, current] = sqs._queues._data.pop((account, region, url))
        sqs._queue_name_to_url.clear()
        sqs._rebuild_queue_name_index()

    sqs._restore_state = restored


def _concurrency_is_a_number() -> None:
    """CloudFormation hands a parameter on as a string, and comparing it stops the polling of every queue."""
    limit = lambda_svc._sqs_esm_concurrency

    def as_number(esm: dict[str, Any], *rest: Any) -> int:
        scaling = esm.get("ScalingConfig") or {}
        if isinstance(scaling.get("MaximumConcurrency"), str):
            scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
        return int(limit(esm, *rest))

    lambda_svc._sqs_esm_concurrency = as_number


def _code_outlives_the_file_that_names_it() -> None:
    """Saving removes the code that a function no longer has before the file that names it is replaced."""
    prune = lambda_svc._prune_orphan_code_blobs
    before: set[str] = set()

    def later(referenced: set[str]) -> None:
        prune(referenced | before)
        before.clear()
        before.update(referenced)

    lambda_svc._prune_orphan_code_blobs = later


def _log_events_can_be_paged() -> None:
    """FilterLogEvents returns 10,000 events and no way to the rest, and Lambda's events have no id."""
    append = cloudwatch_logs._append_log_events
    order = itertools.count(time.time_ns())

    def numbered(stream: dict[str, Any], events: list[dict[str, Any]]) -> None:
        for event in events:
            # 56 digits that grow, as CloudWatch's do: the lines of one invocation share their millisecond.
            event["order"] = f"{event['timestamp']:016d}{next(order):040d}"
            event.setdefault("eventId", event["order"])
        append(stream, events)

    cloudwatch_logs._append_log_events = numbered
    cloudwatch_logs._filter_log_events = filter_log_events


def _versions_of_any_key_can_be_listed() -> None:
    """ListObjectVersions ignores `encoding-type`, and a key with a control character breaks its XML."""
    listing = s3._list_object_versions
    # Every other character that could end the text of an element is escaped inside it.
    keys = re.compile(rb"<(Key|Prefix|Delimiter|KeyMarker|NextKeyMarker)>([^<]*)</\1>")

    def encoded(found: re.Match[bytes]) -> bytes:
        tag, text = found[1], html.unescape(found[2].decode())
        return b"<%b>%b</%b>" % (tag, s3._url_encode(text).encode(), tag)

    def as_asked(bucket: str, query: dict[str, Any]) -> Any:
        status, headers, body = listing(bucket, query)
        if status != 200 or s3._qp(query, "encoding-type", "") != "url":
            return status, headers, body
        body = keys.sub(encoded, body)
        return status, headers, body.replace(b"<MaxKeys>", b"<EncodingType>url</EncodingType><MaxKeys>", 1)

    s3._list_object_versions = as_asked


def _keys_are_one_file_each() -> None:
    """Keys become file names, and macOS takes `A` for `a`, one form of `é` for the other, and paths of 1,024 bytes."""
    holds = s3._plain_path_key

    def plain(key: str) -> bool:
        return key.isascii() and key == key.lower() and len(key) <= 200 and bool(holds(key))

    s3._plain_path_key = plain
    s3._encoded_key_name = lambda key: f"sha256-{hashlib.sha256(key.encode()).hexdigest()}"
    # When it was imported it read the disk under its own names, and took the older versions of such keys for lost.
    for read in (s3._buckets, s3._object_versions, s3._object_tags, s3._object_acl, s3._object_annotations):
        read._data.clear()
    s3._load_persisted_data()


_UNFINISHED = ".new.tmp"  # no key's file ends like this, and nothing that does is read


def _objects_are_whole_or_not_there() -> None:
    """The bytes were in place before the file that tells their version: a kill in between left an object without one.

    The other way round a new object is not there yet, as nobody was told that it is.
    """
    write, persist = s3._atomic_write, s3._persist_object
    here = threading.local()

    def bytes_last(path: str, data: bytes, *, text: bool = False) -> None:
        ready: list[str] | None = getattr(here, "ready", None)
        if text or ready is None:
            write(path, data, text=text)
            return
        write(f"{path}{_UNFINISHED}", data)
        ready.append(path)

    def persisted(bucket: str, key: str, obj: Any) -> None:
        here.ready = []
        try:
            persist(bucket, key, obj)
            for path in here.ready:
                Path(f"{path}{_UNFINISHED}").replace(path)
        finally:
            del here.ready

    s3._atomic_write, s3._persist_object = bytes_last, persisted


saving = threading.local()
"""`saving.now` is true in a thread that reads the state to write it down at once."""


def _saving_copies_nothing() -> None:
    """Copying rows, metrics and log lines before they are encoded takes longer than encoding, and nobody is served."""

    class Copier:
        copy = staticmethod(copy.copy)

        @staticmethod
        def deepcopy(value: Any) -> Any:
            return value if getattr(saving, "now", False) else copy.deepcopy(value)

    cloudwatch.copy = cloudwatch_logs.copy = dynamodb.copy = Copier


def _change_sets_heed_conditions() -> None:
    """A change set compares resources without their conditions, so switching one on or off is no change to it."""
    resolve = changesets._resolve_props_for_diff

    def resolved(template: dict[str, Any], params: dict[str, Any], *rest: Any) -> dict[str, Any]:
        answer: dict[str, Any] = resolve(template, params, *rest)
        holds = changesets._evaluate_conditions(template, params) if template else {}
        resources = answer.get("Resources", {})
        return {**answer, "Resources": {n: r for n, r in resources.items() if holds.get(r.get("Condition"), True)}}

    changesets._resolve_props_for_diff = resolved


def filter_log_events(data: dict[str, Any]) -> Any:
    """FilterLogEvents, oldest first; the token is the place of the last event that was looked at."""
    group = cloudwatch_logs._resolve_log_group_name(data)
    if group not in cloudwatch_logs._log_groups:
        return responses.error_response_json(
            "ResourceNotFoundException", f"The specified log group does not exist: {group}", 400
        )
    matches = cloudwatch_logs._compile_filter_pattern(data.get("filterPattern", ""))
    limit = min(data.get("limit", 10_000), 10_000)
    found: list[tuple[str, dict[str, Any]]] = []
    for stream, event in _events(cloudwatch_logs._log_groups[group]["streams"], data):
        if not matches(event["message"]):
            continue
        if len(found) == limit:
            return responses.json_response(
                {"events": [_public(*one) for one in found], "nextToken": found[-1][1]["order"]}
            )
        found.append((stream, event))
    return responses.json_response({"events": [_public(*one) for one in found], "searchedLogStreams": []})


def _events(streams: dict[str, Any], data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events that a FilterLogEvents request asks for, with the names of their streams, in their order."""
    start, end, after = data.get("startTime"), data.get("endTime"), data.get("nextToken", "")
    prefix, names = data.get("logStreamNamePrefix", ""), data.get("logStreamNames") or list(streams)
    ranges = []
    for name in names:
        if name not in streams or not name.startswith(prefix):
            continue
        with cloudwatch_logs._log_events_lock:
            history = streams[name]["events"]
            first = bisect_left(history, start, key=_timestamp) if start is not None else 0
            last = bisect_right(history, end, key=_timestamp) if end is not None else len(history)
            ranges.append([(event["order"], name, event) for event in history[first:last] if event["order"] > after])
    for _, name, event in heapq.merge(*ranges):
        yield name, event


def _timestamp(event: dict[str, Any]) -> int:
    return int(event["timestamp"])


def _public(stream: str, event: dict[str, Any]) -> dict[str, Any]:
    names = ("timestamp", "message", "ingestionTime", "eventId")
    return {"logStreamName": stream, **{name: event[name] for name in names}}
