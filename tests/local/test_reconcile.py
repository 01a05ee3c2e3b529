"""Bucket, table and outputs held against each other: each kind of damage found, mended, and gone at the second look."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pictures
import pytest
from commandline import Finished, clean_environment

from image_pipeline.record import ImageRecord
from imgpipe.aws import Clients
from imgpipe.reconcile import Ages, Reconciliation

from .conftest import until
from .test_reprocess import unnoticed

if TYPE_CHECKING:
    from conftest import Bucket, Pipeline

NOTHING = dict.fromkeys(("no_row", "no_object", "stale", "missing_outputs", "orphan_outputs"), 0)
LONG = "long/" + "x" * 900
AT_ONCE = Ages(0, 0)


def photo(width: int = 60) -> bytes:
    return pictures.saved(pictures.scene(width, 40), "JPEG")


def compare(pipeline: Pipeline, *options: str) -> Finished:
    """The command, which takes everything that is there for old, whether the queue is empty or not."""
    return pipeline.imgpipe("reconcile", "--older-than", "0s", *options, "--json")


def made(bucket: Bucket, *keys: str) -> dict[str, ImageRecord]:
    rows = {
        key: bucket.row_of(key, version) for key, version in {key: bucket.put(key, photo()) for key in keys}.items()
    }
    bucket.wait_until_quiet()
    return rows


def plant(bucket: Bucket, key: str) -> tuple[str, str]:
    """An output under `key` that no row lists."""
    place = (bucket.outputs.resized_bucket, key)
    bucket.clients["s3"].put_object(Bucket=place[0], Key=place[1], Body=b"orphan")
    return place


def forget(bucket: Bucket, key: str) -> None:
    """Delete the row, and nothing else."""
    bucket.clients["dynamodb"].delete_item(TableName=bucket.outputs.table, Key={"image_key": {"S": key}})


def lose(bucket: Bucket, record: ImageRecord) -> None:
    """Delete one of the outputs that the row lists."""
    one = record.renditions[0]
    bucket.clients["s3"].delete_object(Bucket=one.bucket, Key=one.key)


def put_row(bucket: Bucket, record: ImageRecord) -> None:
    from boto3.dynamodb.types import TypeSerializer

    item = {name: TypeSerializer().serialize(value) for name, value in record.to_item().items()}
    bucket.clients["dynamodb"].put_item(TableName=bucket.outputs.table, Item=item)


def holds(bucket: Bucket) -> bool:
    """The invariant: every object has exactly one row, about what S3 serves; nothing else has one; no orphans."""
    s3, name = bucket.clients["s3"], bucket.outputs.input_bucket
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=name)
    keys = {one["Key"] for page in pages for one in page.get("Contents", ()) if one["Size"]}
    rows = bucket.rows()
    serves = {key: s3.head_object(Bucket=name, Key=key)["VersionId"] for key in keys}
    return {key: row.source.version_id for key, row in rows.items()} == serves and bucket.orphans() == set()


@pytest.fixture(autouse=True)
def restored(bucket: Bucket) -> Iterator[None]:
    """Each test leaves a pipeline where nothing is off."""
    yield
    bucket.wait_until_quiet()
    assert holds(bucket)


def test_a_pipeline_that_is_well_has_nothing_to_mend(pipeline: Pipeline, bucket: Bucket) -> None:
    made(bucket, "well/1.jpg", "well/a b+%.jpg", "well/\x01.jpg", "nested", "nested/x", "nested/0123456789ab/1024.jpg")
    bucket.put("well/", b"")
    bucket.put("no image", b"text")
    bucket.wait_until_quiet()
    done = compare(pipeline)
    assert done.status == 0
    assert done.document["found"] == NOTHING
    assert done.document["fixed"] is None
    assert done.document["checked"]["objects"] == done.document["checked"]["rows"] == len(bucket.rows())
    assert done.document["checked"]["outputs"] == len(bucket.objects())
    said = pipeline.imgpipe("reconcile")
    assert (said.status, said.out) == (0, "")
    assert "Nothing is off." in said.err


def test_every_kind_of_damage_is_found_and_mended_and_the_second_run_has_nothing_to_do(
    pipeline: Pipeline, bucket: Bucket
) -> None:
    rows = made(bucket, "off/lost.jpg", "off/gone.jpg", "off/old.jpg", "off/holes.jpg", "off/fine.jpg", LONG)
    with unnoticed(bucket):
        bucket.put("off/unseen.jpg", photo())
        bucket.put("off/folder/", b"")
        bucket.delete("off/gone.jpg")
        newest = bucket.put("off/old.jpg", photo(70))
    forget(bucket, "off/lost.jpg")
    lose(bucket, rows["off/holes.jpg"])
    hashed = hashlib.sha256(LONG.encode()).hexdigest()
    planted = {
        plant(bucket, "off/fine.jpg/0123456789ab/1024.jpg"),
        plant(bucket, "never/was/0123456789ab/1024.jpg"),
        plant(bucket, f"{hashed}/0123456789ab/1024.jpg"),
    }
    foreign = plant(bucket, "somebody/elses.txt")

    found = compare(pipeline)
    assert found.status == 3
    # The row that was forgotten listed outputs, and now nothing does.
    assert found.document["found"] == {
        "no_row": 2,
        "no_object": 1,
        "stale": 1,
        "missing_outputs": 1,
        "orphan_outputs": 4,
    }
    kinds = {(one["kind"], one["image_key"]) for one in found.document["details"]}
    assert kinds == {
        ("no_row", "off/lost.jpg"),
        ("no_row", "off/unseen.jpg"),
        ("no_object", "off/gone.jpg"),
        ("stale", "off/old.jpg"),
        ("missing_outputs", "off/holes.jpg"),
        ("orphan_outputs", "off/lost.jpg"),
        ("orphan_outputs", "off/fine.jpg"),
        ("orphan_outputs", "never/was"),
        ("orphan_outputs", LONG),
    }
    assert planted < bucket.objects(), "looking alone changes nothing"

    fixed = compare(pipeline, "--fix")
    assert (fixed.status, fixed.document["left"]) == (0, 0), fixed
    assert fixed.document["fixed"] == {"images": 5, "attempts": 4}
    bucket.wait_until_quiet()
    assert not planted & bucket.objects()
    assert foreign in bucket.objects()
    assert bucket.row_of("off/old.jpg", newest).width == 70
    assert bucket.row("off/gone.jpg") is None
    assert bucket.row("off/fine.jpg") == rows["off/fine.jpg"]
    before = bucket.rows()

    second = compare(pipeline, "--fix")
    assert second.status == 0
    assert second.document["found"] == NOTHING
    assert second.document["fixed"] == {"images": 0, "attempts": 0}
    assert second.document["checked"]["foreign"] == 1
    assert bucket.rows() == before
    bucket.clients["s3"].delete_object(Bucket=foreign[0], Key=foreign[1])


def test_a_young_output_without_a_row_stays_and_it_is_said_why(pipeline: Pipeline, bucket: Bucket) -> None:
    planted = plant(bucket, "young.jpg/0123456789ab/1024.jpg")
    done = pipeline.imgpipe("reconcile", "--fix")
    assert (done.status, done.out.split()[:2]) == (0, ["UNDER", "WAY"])
    assert "may be about to commit" in done.out
    assert "look again" in done.err
    assert planted in bucket.objects()
    assert compare(pipeline, "--fix").status == 0
    assert planted not in bucket.objects()


def test_a_commit_between_the_listing_and_the_deletion_keeps_its_outputs(pipeline: Pipeline, bucket: Bucket) -> None:
    record = made(bucket, "race.jpg")["race.jpg"]
    forget(bucket, "race.jpg")
    work = Reconciliation(pipeline.clients, pipeline.outputs, AT_ONCE)
    work.compare(lambda _: None)
    assert work.compared.count() == (1, len(record.outputs))
    put_row(bucket, record)
    assert list(work.orphans(delete=True)) == []
    assert list(work.findings()) == [None]
    assert {(one.bucket, one.key) for one in record.outputs} <= bucket.objects()


def test_what_waits_in_the_queue_is_under_way(pipeline: Pipeline, bucket: Bucket) -> None:
    mapping = bucket.outputs.event_source_mapping
    bucket.clients["lambda"].update_event_source_mapping(UUID=mapping, Enabled=False)
    try:
        bucket.put("waits.jpg", photo())
        done = pipeline.imgpipe("reconcile", "--fix", "--json")
        assert (done.status, done.document["found"]) == (0, NOTHING)
        assert (done.document["under_way"], done.document["in_queue"]) == (1, 1)
        assert "ago" in done.document["details"][0]["under_way"]
        assert bucket.depth(bucket.outputs.jobs_queue_url) == 1
        off = compare(pipeline)
        assert (off.status, off.document["found"]["no_row"]) == (3, 1), "with no patience at all it is off"
        given_up = compare(pipeline, "--fix", "--timeout", "0.5")
        assert (given_up.status, given_up.document["left"]) == (3, 1)
    finally:
        bucket.clients["lambda"].update_event_source_mapping(UUID=mapping, Enabled=True)


def test_an_upload_during_the_comparison_is_no_finding(pipeline: Pipeline, bucket: Bucket) -> None:
    """The table is read first: whatever is committed afterwards looks as if it had no row, until it is looked at."""
    work = Reconciliation(pipeline.clients, pipeline.outputs, AT_ONCE)
    uploading = itertools.count()

    def upload(text: str) -> None:
        if "rows" in text and next(uploading) == 0:
            made(bucket, "meanwhile.jpg")

    work.compare(upload)
    assert work.compared.count()[0] == 1
    assert list(work.findings()) == [None]
    assert list(work.orphans(delete=True)) == []


def test_an_object_that_may_not_be_looked_at_is_judged_by_the_listing(pipeline: Pipeline, bucket: Bucket) -> None:
    made(bucket, "hidden.jpg")
    forget(bucket, "hidden.jpg")
    work = Reconciliation(Clients(pipeline.target.connect()), pipeline.outputs, AT_ONCE)

    def deny(params: dict[str, Any], **_: Any) -> tuple[SimpleNamespace, dict[str, Any]] | None:
        if not params["url"].endswith(f"{bucket.outputs.input_bucket}/hidden.jpg"):
            return None
        return SimpleNamespace(status_code=403), {"Error": {"Code": "403"}, "ResponseMetadata": {"HTTPStatusCode": 403}}

    work.clients["s3"].meta.events.register("before-call.s3.HeadObject", deny)
    work.compare(lambda _: None)
    (found,) = work.findings()
    assert found is not None
    assert (found.kind, found.under_way) == ("no_row", "")
    assert compare(pipeline, "--fix").status == 0


def test_after_ctrl_c_the_same_command_goes_on(pipeline: Pipeline, bucket: Bucket) -> None:
    keys = [f"many/{number}" for number in range(30)]
    made(bucket, *keys)
    for key in keys:
        forget(bucket, key)
    program = "from imgpipe import __main__, reprocess; reprocess.WINDOW = 4; raise SystemExit(__main__.main())"
    command = [sys.executable, "-c", program, "reconcile", "--fix", "--older-than", "0s"]
    env = clean_environment(pipeline.home) | {"IMGPIPE_PORT": str(pipeline.port)}
    with subprocess.Popen(
        command, env=env, cwd=pipeline.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stderr is not None
        while not first.stdout.readline().startswith("READY"):
            pass
        first.send_signal(signal.SIGINT)
        said = first.stderr.read()
    assert first.returncode == 130
    assert "hint: imgpipe reconcile --fix --older-than 0s" in said
    bucket.wait_until_quiet()
    second = compare(pipeline, "--fix")
    assert (second.status, second.document["left"]) == (0, 0)
    assert set(keys) <= bucket.rows().keys()


@pytest.mark.parametrize("arguments", [["--older-than", "soon"], ["--older-than", "-1s"], ["a.jpg"]])
def test_what_is_no_age_is_a_usage_error(pipeline: Pipeline, arguments: list[str]) -> None:
    done = pipeline.imgpipe("reconcile", *arguments, "--json")
    assert (done.status, done.document["error"]["code"]) == (2, "usage")


def test_after_a_power_cut_amid_a_burst_the_invariant_holds_again(pipeline: Pipeline, bucket: Bucket) -> None:
    """`kill -9` while images are made: events, rows and outputs of the last moments may each be lost by itself."""
    made(bucket, "burst/before.jpg")
    data = photo()
    killed = False

    def put(number: int) -> None:
        # What the engine did not acknowledge is the uploader's to send again.
        with contextlib.suppress(Exception):
            if not killed:
                bucket.put(f"burst/{number}.jpg", data)

    with ThreadPoolExecutor(8) as pool:
        sending = [pool.submit(put, number) for number in range(70)]
        until(lambda: sum(key.startswith("burst/") for key in bucket.rows()) > 10)
        os.kill(pipeline.engine_pid, signal.SIGKILL)
        killed = True
        for one in sending:
            one.cancel()
        # At once: what is being sent is tried again for ten seconds.
        assert pipeline.imgpipe("up").status == 0
    bucket.wait_until_quiet()
    done = compare(pipeline, "--fix")
    assert (done.status, done.document["left"]) == (0, 0), done
    bucket.wait_until_quiet()
    assert holds(bucket)
    assert compare(pipeline, "--fix").document["fixed"] == {"images": 0, "attempts": 0}
