"""Traffic: bursts, versions in any order, deletions and the way back, and a power cut."""

from __future__ import annotations

import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pictures
import pytest

from image_pipeline.record import Status

from .conftest import until

if TYPE_CHECKING:
    from conftest import Bucket, Pipeline

BURST = 300


def photo(width: int = 60) -> bytes:
    """A small JPEG; the width tells one from another."""
    return pictures.saved(pictures.scene(width, 40), "JPEG")


def workers(engine_pid: int) -> int:
    """How many worker processes the engine has now."""
    return sum(
        1
        for status in Path("/proc").glob("[0-9]*/stat")
        if (text := _read(status)) and int(text.rsplit(")", 1)[1].split()[1]) == engine_pid
    )


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def test_a_burst_is_processed_to_the_last_image_within_the_concurrency_limit(
    pipeline: Pipeline, bucket: Bucket
) -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("worker processes are counted in /proc, which this platform has not")
    data, seen, over = photo(), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            seen.append(workers(pipeline.engine_pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(16) as pool:
            sent = dict(pool.map(lambda n: (f"burst/{n}.jpg", bucket.put(f"burst/{n}.jpg", data)), range(BURST)))
        bucket.wait_until_quiet(180)
    finally:
        over.set()
        watcher.join()
    rows = {key: row for key, row in bucket.rows().items() if key.startswith("burst/")}
    assert {key: row.source.version_id for key, row in rows.items()} == sent
    assert {row.status for row in rows.values()} == {Status.READY}
    assert bucket.depth(bucket.outputs.dead_letter_queue_url) == 0
    assert 1 <= max(seen) <= 2
    assert bucket.orphans() == set()


def notify(bucket: Bucket, key: str, times: int = 1) -> None:
    """Deliver an event for a key as if S3 had sent it again."""
    s3 = {"bucket": {"name": bucket.outputs.input_bucket}, "object": {"key": quote_plus(key)}}
    body = json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": s3}]})
    for _ in range(times):
        bucket.clients["sqs"].send_message(QueueUrl=bucket.outputs.jobs_queue_url, MessageBody=body)


def test_the_same_event_twice_and_more_changes_nothing(bucket: Bucket) -> None:
    version = bucket.put("twice.jpg", photo())
    before = bucket.row_of("twice.jpg", version)
    notify(bucket, "twice.jpg", times=5)
    bucket.wait_until_quiet()
    assert bucket.row("twice.jpg") == before
    assert bucket.orphans() == set()


def test_versions_in_quick_succession_end_in_the_newest(bucket: Bucket) -> None:
    for width in range(50, 60):
        version = bucket.put("quick.jpg", photo(width))
    bucket.wait_until_quiet()
    assert bucket.row_of("quick.jpg", version).width == 59
    assert bucket.orphans() == set()


def test_deleting_leaves_no_outputs_and_the_way_back_brings_them_back(bucket: Bucket) -> None:
    old, new = bucket.put("gone.jpg", photo(50)), bucket.put("gone.jpg", photo(70))
    bucket.row_of("gone.jpg", new)
    marker = bucket.delete("gone.jpg")
    bucket.wait_until_quiet()
    assert bucket.row("gone.jpg") is None
    assert not any(key.startswith("gone.jpg/") for _, key in bucket.objects())
    bucket.delete("gone.jpg", marker)
    assert bucket.row_of("gone.jpg", new).width == 70
    bucket.delete("gone.jpg", new)
    assert bucket.row_of("gone.jpg", old).width == 50
    bucket.wait_until_quiet()
    assert bucket.orphans() == set()


def test_deleting_an_old_version_changes_nothing(bucket: Bucket) -> None:
    old, new = bucket.put("kept.jpg", photo(50)), bucket.put("kept.jpg", photo(70))
    before = bucket.row_of("kept.jpg", new)
    bucket.wait_until_quiet()
    bucket.delete("kept.jpg", old)
    bucket.wait_until_quiet()
    assert bucket.row("kept.jpg") == before


def test_what_is_no_event_reaches_the_dead_letter_queue_and_status_says_so(pipeline: Pipeline, bucket: Bucket) -> None:
    queues = bucket.outputs
    bucket.clients["sqs"].send_message(QueueUrl=queues.jobs_queue_url, MessageBody="poison")
    bucket.wait_until_quiet(60)
    assert bucket.depth(queues.dead_letter_queue_url) == 1
    assert pipeline.imgpipe("status", "--json").document["queues"]["dead"] == 1
    bucket.clients["sqs"].purge_queue(QueueUrl=queues.dead_letter_queue_url)


def test_logs_of_one_key_are_its_own_and_each_line_comes_once(pipeline: Pipeline, bucket: Bucket) -> None:
    for key in ("log/a.jpg", "log/b.jpg"):
        bucket.row_of(key, bucket.put(key, photo()))
    bucket.wait_until_quiet()
    events: list[dict[str, Any]] = pipeline.imgpipe("logs", "--json", "--key", "log/a.jpg").document["events"]
    ready = [one for one in events if "Ready" in str(one["message"])]
    assert len(ready) == 1
    assert all("log/b.jpg" not in str(one) for one in events)


def test_a_power_cut_loses_nothing_that_was_done(pipeline: Pipeline, bucket: Bucket) -> None:
    """`kill -9` once the checkpoint has a batch: everything is there again, and the pipeline goes on."""
    sent = {f"cut/{n}.jpg": bucket.put(f"cut/{n}.jpg", photo()) for n in range(20)}
    bucket.wait_until_quiet()
    rows, objects = bucket.rows(), bucket.objects()
    assert sent.keys() <= rows.keys()
    saved = pipeline.home / "home" / "dev" / "state" / "services.json"
    until(lambda: all(row.revision in saved.read_text() for row in rows.values()))
    os.kill(pipeline.engine_pid, signal.SIGKILL)
    assert pipeline.imgpipe("up").status == 0
    assert bucket.rows() == rows
    assert bucket.objects() == objects
    for row in rows.values():
        for one in row.outputs:
            bucket.clients["s3"].head_object(Bucket=one.bucket, Key=one.key)
    assert bucket.row_of("cut/after.jpg", bucket.put("cut/after.jpg", photo())).status is Status.READY
