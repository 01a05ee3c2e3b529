"""Renditions made again: after a size was added, after a refusal was lifted, amid uploads, deletions and Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pictures
import pytest
from commandline import Finished, clean_environment

from image_pipeline.record import ImageRecord, Status

from .conftest import until

if TYPE_CHECKING:
    from conftest import Bucket, Pipeline

NOTHING = {"sent": 0, "ready": 0, "failed": 0, "timed_out": 0}


def photo(width: int = 60) -> bytes:
    return pictures.saved(pictures.scene(width, 40), "JPEG")


def configured(pipeline: Pipeline, text: str) -> None:
    """Deploy with this imgpipe.toml."""
    (pipeline.home / "imgpipe.toml").write_text(text)
    done = pipeline.imgpipe("up")
    assert done.status == 0, done.err


def row(bucket: Bucket, key: str) -> ImageRecord:
    found = bucket.row(key)
    assert found is not None
    return found


def names(record: ImageRecord) -> list[str]:
    return [one.name for one in record.renditions]


def keys(done: Finished) -> set[str]:
    return {image["image_key"] for image in done.document["images"]}


@contextmanager
def unnoticed(bucket: Bucket) -> Iterator[None]:
    """What happens in the input bucket raises no events, as when they are lost."""
    s3, name = bucket.clients["s3"], bucket.outputs.input_bucket
    before: dict[str, Any] = s3.get_bucket_notification_configuration(Bucket=name)
    del before["ResponseMetadata"]
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={})
    try:
        yield
    finally:
        s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=before)


def test_a_rendition_that_was_added_is_made_of_exactly_the_old_images_that_should_have_it(
    pipeline: Pipeline, bucket: Bucket
) -> None:
    old = {key: bucket.put(key, photo(width)) for key, width in (("old/1", 300), ("old/2", 400), ("old/small", 50))}
    before = {key: bucket.row_of(key, version) for key, version in old.items()}
    configured(pipeline, 'renditions = [{ box = 128 }, { name = "hero", box = 256, min_side = 200 }]\n')
    new = bucket.row_of("old/new", bucket.put("old/new", photo(500)))
    assert names(new) == ["128", "hero"]

    dry = pipeline.imgpipe("reprocess", "--missing", "hero", "--dry-run", "--json")
    assert (dry.status, keys(dry), dry.document["summary"]) == (0, {"old/1", "old/2"}, NOTHING)
    assert row(bucket, "old/1") == before["old/1"]
    assert set(pipeline.imgpipe("reprocess", "--missing", "hero", "--dry-run").out.splitlines()) == {"old/1", "old/2"}

    done = pipeline.imgpipe("reprocess", "--missing", "hero", "--json")
    assert (done.status, keys(done)) == (0, {"old/1", "old/2"})
    assert done.document["summary"] == {"sent": 2, "ready": 2, "failed": 0, "timed_out": 0}
    for record in done.document["images"]:
        assert record == row(bucket, record["image_key"]).to_json()
        assert [one["name"] for one in record["renditions"]] == ["128", "hero"]
    assert row(bucket, "old/small") == before["old/small"]
    assert row(bucket, "old/new") == new

    again = pipeline.imgpipe("reprocess", "--missing", "hero", "--json")
    assert (again.status, again.document) == (0, {"images": [], "summary": NOTHING})
    assert "Nothing to do" in pipeline.imgpipe("reprocess", "--missing", "hero").err
    bucket.wait_until_quiet()
    assert bucket.orphans() == set()


def test_a_rendition_that_nobody_makes_is_a_usage_error_that_names_those_there_are(pipeline: Pipeline) -> None:
    done = pipeline.imgpipe("reprocess", "--missing", "4096", "--json")
    assert (done.status, done.document["error"]["code"]) == (2, "usage")
    assert "128" in done.document["error"]["message"]
    assert "thumbnail" in done.document["error"]["message"]


def test_an_image_that_is_up_to_date_is_made_again_and_stays_whose_it_was(pipeline: Pipeline, bucket: Bucket) -> None:
    before = bucket.row_of("mine.jpg", bucket.put("mine.jpg", photo()))
    assert before.user != "unknown"
    done = pipeline.imgpipe("reprocess", "mine.jpg")
    assert done.status == 0
    assert done.out.startswith("READY     mine.jpg")
    after = row(bucket, "mine.jpg")
    assert after.revision != before.revision
    assert (after.user, after.source, after.uploaded_at) == (before.user, before.source, before.uploaded_at)
    bucket.wait_until_quiet()
    assert bucket.orphans() == set()


def test_a_key_that_does_not_exist_is_named_and_nothing_is_sent(pipeline: Pipeline, bucket: Bucket) -> None:
    before = bucket.row_of("known.jpg", bucket.put("known.jpg", photo()))
    done = pipeline.imgpipe("reprocess", "known.jpg", "knwon.jpg", "--json")
    assert (done.status, done.document["error"]["code"]) == (1, "unknown_key")
    assert "known.jpg?" in done.document["error"]["message"]
    bucket.wait_until_quiet()
    assert row(bucket, "known.jpg") == before


def test_a_newer_upload_wins_whichever_is_worked_on_first(pipeline: Pipeline, bucket: Bucket) -> None:
    bucket.row_of("race.jpg", bucket.put("race.jpg", photo(50)))
    for width in range(51, 57):
        sent = pipeline.imgpipe("reprocess", "race.jpg", "--no-wait", "--json").document
        assert sent == {"images": [{"image_key": "race.jpg"}], "summary": NOTHING | {"sent": 1}}
        version = bucket.put("race.jpg", photo(width))
        pipeline.imgpipe("reprocess", "race.jpg", "--no-wait")
    bucket.wait_until_quiet()
    assert bucket.row_of("race.jpg", version).width == 56
    assert bucket.orphans() == set()


def test_an_object_whose_deletion_went_unnoticed_takes_its_record_along(pipeline: Pipeline, bucket: Bucket) -> None:
    for key in ("lost/1", "lost/2"):
        bucket.row_of(key, bucket.put(key, photo()))
    with unnoticed(bucket):
        bucket.delete("lost/1")
        bucket.delete("lost/2")
    said = pipeline.imgpipe("reprocess", "lost/1")
    assert (said.status, said.out.split()[0]) == (0, "DELETED")
    done = pipeline.imgpipe("reprocess", "lost/2", "--json")
    assert (done.status, done.document["summary"]) == (0, NOTHING | {"sent": 1})
    assert done.document["images"][0].keys() == {"image_key", "error"}
    assert (bucket.row("lost/1"), bucket.row("lost/2")) == (None, None)
    bucket.wait_until_quiet()
    assert bucket.orphans() == set()


def test_an_object_whose_upload_went_unnoticed_is_made(pipeline: Pipeline, bucket: Bucket) -> None:
    with unnoticed(bucket):
        version = bucket.put("unseen.jpg", photo())
        bucket.put("unseen/", b"")
    assert pipeline.imgpipe("reprocess", "unseen.jpg").status == 0
    assert row(bucket, "unseen.jpg").source.version_id == version
    marker = pipeline.imgpipe("reprocess", "unseen/", "--json")
    assert (marker.status, marker.document["error"]["code"]) == (1, "unknown_key")
    assert "folder" in marker.document["error"]["message"]


def test_what_was_refused_is_ready_once_it_is_allowed(pipeline: Pipeline, bucket: Bucket) -> None:
    configured(pipeline, 'formats = ["jpeg"]\n')
    png, text = pictures.saved(pictures.scene(60, 40), "PNG"), b"no image at all"
    for key, data in (("refused.png", png), ("refused.txt", text)):
        assert bucket.row_of(key, bucket.put(key, data)).status is Status.FAILED
    still = pipeline.imgpipe("reprocess", "--failed", "--json")
    assert (still.status, still.document["summary"]) == (3, NOTHING | {"sent": 2, "failed": 2})

    configured(pipeline, 'formats = ["jpeg", "png"]\n')
    done = pipeline.imgpipe("reprocess", "--failed", "--json")
    assert (done.status, done.document["summary"]) == (3, {"sent": 2, "ready": 1, "failed": 1, "timed_out": 0})
    assert row(bucket, "refused.png").status is Status.READY
    last = pipeline.imgpipe("reprocess", "--failed", "--dry-run", "--json")
    assert keys(last) == {"refused.txt"}
    bucket.delete("refused.txt")


def test_all_of_them_and_of_these_only_what_was_not_made_since(pipeline: Pipeline, bucket: Bucket) -> None:
    bucket.wait_until_quiet()
    before = bucket.rows()
    assert keys(pipeline.imgpipe("reprocess", "--all", "--dry-run", "--json")) == before.keys()
    assert keys(pipeline.imgpipe("reprocess", "--all", "--before", "1d", "--dry-run", "--json")) == set()
    done = pipeline.imgpipe("reprocess", "--all", "--json")
    assert (done.status, keys(done)) == (0, before.keys())
    assert all(bucket.rows()[key].revision != one.revision for key, one in before.items())
    bucket.wait_until_quiet()
    assert bucket.orphans() == set()


def test_after_ctrl_c_the_same_command_goes_on_with_the_rest(pipeline: Pipeline, bucket: Bucket) -> None:
    for number in range(40):
        bucket.put(f"many/{number}", photo(300))
    bucket.wait_until_quiet(180)
    configured(pipeline, "renditions = [{ box = 32 }, { box = 200 }]\n")
    # A small window, so that a few images are enough for there to be a rest when the interruption comes.
    program = "from imgpipe import __main__, reprocess; reprocess.WINDOW = 4; raise SystemExit(__main__.main())"
    command = [sys.executable, "-c", program, "reprocess", "--missing", "200"]
    env = clean_environment(pipeline.home) | {"IMGPIPE_PORT": str(pipeline.port)}
    with subprocess.Popen(
        command, env=env, cwd=pipeline.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stderr is not None
        assert first.stdout.readline().startswith("READY")
        first.send_signal(signal.SIGINT)
        said = first.stderr.read()
    assert first.returncode == 130
    assert "sent" in said
    assert "hint: imgpipe reprocess --missing 200" in said
    bucket.wait_until_quiet(180)
    made = [one for one in bucket.rows().values() if "200" in names(one)]
    assert 0 < len(made) < len(bucket.rows())

    second = pipeline.imgpipe("reprocess", "--missing", "200", "--json")
    assert second.status == 0
    assert second.document["summary"]["ready"] == len(bucket.rows()) - len(made)
    assert all("200" in names(one) for one in bucket.rows().values())
    bucket.wait_until_quiet()
    assert bucket.orphans() == set()


@pytest.mark.parametrize("arguments", [[], ["a.jpg", "--all"], ["--failed", "--missing", "128"], [""]])
def test_what_does_not_say_which_images_is_a_usage_error(pipeline: Pipeline, arguments: list[str]) -> None:
    done = pipeline.imgpipe("reprocess", *arguments, "--json")
    assert (done.status, done.document["error"]["code"]) == (2, "usage")


def test_no_news_from_the_pipeline_ends_the_wait(pipeline: Pipeline, bucket: Bucket) -> None:
    bucket.row_of("stuck.jpg", bucket.put("stuck.jpg", photo()))
    mapping = bucket.outputs.event_source_mapping
    bucket.clients["lambda"].update_event_source_mapping(UUID=mapping, Enabled=False)
    try:
        done = pipeline.imgpipe("reprocess", "stuck.jpg", "--timeout", "0.5", "--json")
        assert (done.status, done.document["summary"]) == (3, NOTHING | {"sent": 1, "timed_out": 1})
        assert "0.5 s" in json.dumps(done.document["images"])
    finally:
        bucket.clients["lambda"].update_event_source_mapping(UUID=mapping, Enabled=True)
    until(lambda: bucket.depth(bucket.outputs.jobs_queue_url) == 0)
