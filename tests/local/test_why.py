"""The story of an image, on a pipeline that is really up."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pictures
import pytest

from .conftest import until
from .test_reprocess import unnoticed

if TYPE_CHECKING:
    from conftest import Bucket, Pipeline


def photo(width: int = 60, height: int = 40) -> bytes:
    return pictures.saved(pictures.scene(width, height), "JPEG")


def told(pipeline: Pipeline, key: str, status: int = 0) -> dict[str, Any]:
    done = pipeline.imgpipe("why", "--json", "--", key)
    assert done.status == status, done
    found: dict[str, Any] = done.document
    assert found.keys() == {"image_key", "state", "moments", "now", "next"}
    assert [one["at"] for one in found["moments"]] == sorted(one["at"] for one in found["moments"])
    return found


def test_an_image_that_is_ready_says_when_it_came_what_was_decided_and_why_it_has_no_thumbnail(
    pipeline: Pipeline, bucket: Bucket
) -> None:
    key = "-why/a b+c%2F\"'<&é\n.jpg"
    bucket.row_of(key, bucket.put(key, photo()))
    bucket.wait_until_quiet()
    story = until(lambda: found if len((found := told(pipeline, key))["moments"]) > 3 else None)
    whats = [one["what"] for one in story["moments"]]
    assert story["state"] == "ready"
    assert whats[0].startswith("Uploaded")
    assert "Attempt 1 began." in whats
    assert sum(one.startswith("READY") for one in whats) == 1
    assert any(one.startswith("Decided: No thumbnail") for one in whats)
    assert "no thumbnail" in story["now"]
    assert story["next"].startswith("imgpipe get -- '-why/")
    plain = pipeline.imgpipe("why", "--", key).out
    assert "\n\nnow   READY" in plain
    assert "\\n.jpg" in plain


def test_an_image_that_was_refused_says_what_to_do(pipeline: Pipeline, bucket: Bucket) -> None:
    bucket.row_of("bad.jpg", bucket.put("bad.jpg", photo(900, 700)[:3000]))
    story = told(pipeline, "bad.jpg")
    assert story["state"] == "failed"
    assert "truncated" in story["now"]
    assert "upload the whole file again" in story["next"]


def test_a_deletion_a_folder_and_a_slip_are_told_apart(pipeline: Pipeline, bucket: Bucket) -> None:
    bucket.row_of("gone.jpg", bucket.put("gone.jpg", photo()))
    bucket.put("gone.jpg.bak", b"")
    bucket.delete("gone.jpg")
    until(lambda: bucket.row("gone.jpg") is None)
    gone = told(pipeline, "gone.jpg")
    assert gone["state"] == "deleted"
    assert any("delete marker" in one["what"] for one in gone["moments"])
    bucket.put("empty/", b"")
    bucket.wait_until_quiet()
    assert told(pipeline, "empty/")["state"] == "folder"
    bucket.row_of("holiday.jpg", bucket.put("holiday.jpg", photo()))
    slip = told(pipeline, "hoilday.jpg", status=1)
    assert (slip["state"], slip["next"]) == ("unknown", "imgpipe why holiday.jpg")


def test_what_waits_is_told_from_what_was_lost(
    pipeline: Pipeline, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions, mapping = bucket.clients["lambda"], bucket.outputs.event_source_mapping
    functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    try:
        bucket.put("waits.jpg", photo())
        assert told(pipeline, "waits.jpg")["state"] == "queued"
    finally:
        functions.update_event_source_mapping(UUID=mapping, Enabled=True)
    bucket.wait_until_quiet()
    assert told(pipeline, "waits.jpg")["state"] == "ready"

    with unnoticed(bucket):
        bucket.put("lost.jpg", photo())
        bucket.delete("waits.jpg")
    assert told(pipeline, "lost.jpg")["state"] == "queued"  # for a minute, the event may be on its way
    monkeypatch.setattr("imgpipe.why.GRACE", timedelta(0))
    lost = told(pipeline, "lost.jpg")
    assert (lost["state"], lost["next"]) == ("lost", "imgpipe reprocess lost.jpg")
    assert pipeline.imgpipe(*lost["next"].split()[1:]).status == 0
    assert told(pipeline, "lost.jpg")["state"] == "ready"

    left = told(pipeline, "waits.jpg")
    assert (left["state"], left["next"]) == ("lost", "imgpipe reprocess waits.jpg")
    assert pipeline.imgpipe(*left["next"].split()[1:]).status == 0
    assert told(pipeline, "waits.jpg")["state"] == "deleted"


def test_no_key_is_a_usage_error(pipeline: Pipeline) -> None:
    assert pipeline.imgpipe("why", "").status == 2
