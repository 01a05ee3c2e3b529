"""What becomes of an image: renditions, record, versions, deletion and the way back."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import pictures
import pytest
from PIL import Image

if TYPE_CHECKING:
    from contract.stage import Stage

KEYS = ["two words.jpg", "a+b.jpg", "100%.jpg", "%2Fencoded%20.jpg", "日本語/写真 🏔.jpg", "double//slash.jpg"]

RECORD = (
    *("image_key", "status", "file_name", "user", "uploaded_at", "source", "format", "content_type", "width", "height"),
    *("mode", "frames", "sha256", "renditions", "thumbnail", "exif", "dominant_colour", "notes", "failure", "recipe"),
    *("revision", "processed_at", "timings_ms", "request_id"),
)
OUTPUT = {"name", "width", "height", "bytes", "format", "content_type", "bucket", "key", "uri"}


def photo(width: int = 60, height: int = 40) -> bytes:
    """A small JPEG; the width tells one from another."""
    return pictures.saved(pictures.scene(width, height), "JPEG")


def large(stage: Stage) -> dict[str, Any]:
    """The record of a photo of 1200 × 800 with something in every metadata field, uploaded once."""
    if "large" not in stage.shared:
        stage.shared["large"] = stage.ready("holiday/large.jpg", pictures.everything_planted("JPEG"), "--user", "Zoë")
    return dict(stage.shared["large"])


@pytest.mark.promise("An upload ends READY with every rendition at its size")
def test_every_rendition_is_made_at_its_size(stage: Stage) -> None:
    record = large(stage)
    assert record["status"] == "READY"
    made = {one["name"]: (one["width"], one["height"]) for one in [*record["renditions"], record["thumbnail"]]}
    assert made == {"1024": (1024, 683), "512": (512, 341), "128": (128, 85), "64": (64, 64)}


@pytest.mark.promise("Outputs are real pictures with the right headers and without any metadata")
def test_outputs_are_clean_pictures(stage: Stage) -> None:
    record = large(stage)
    for one in [*record["renditions"], record["thumbnail"]]:
        data, said = stage.body(one)
        image = Image.open(BytesIO(data))
        image.load()
        assert (image.format, image.size) == ("JPEG", (one["width"], one["height"]))
        assert (said["ContentType"], one["content_type"], one["bytes"]) == ("image/jpeg", "image/jpeg", len(data))
        assert "immutable" in said["CacheControl"]
        assert not image.getexif()
        assert pictures.MARKER not in data


@pytest.mark.promise("A thumbnail is made for large images only")
def test_a_small_image_has_no_thumbnail(stage: Stage) -> None:
    assert large(stage)["thumbnail"]["bucket"] == stage.outputs.thumbnails_bucket
    record = stage.ready("small.jpg", photo())
    assert record["thumbnail"] is None
    assert stage.outputs_of("small.jpg") == {one["uri"] for one in record["renditions"]}


@pytest.mark.promise("The record follows the schema, from upload, meta and ls alike")
def test_the_record_follows_the_schema(stage: Stage) -> None:
    record = large(stage)
    assert tuple(record) == RECORD
    assert all(set(one) == OUTPUT for one in [*record["renditions"], record["thumbnail"]])
    assert stage.meta("holiday/large.jpg") == record
    listed = {one["image_key"]: one for one in stage.imgpipe("ls", "--json", "--limit", "100").document["images"]}
    assert listed["holiday/large.jpg"]["status"] == "READY"
    source = record["source"]
    assert (source["bucket"], source["key"]) == (stage.outputs.input_bucket, "holiday/large.jpg")
    head = stage.clients["s3"].head_object(Bucket=source["bucket"], Key=source["key"])
    assert source["version_id"] == head["VersionId"]
    assert source["etag"].strip('"') == head["ETag"].strip('"')


@pytest.mark.promise("User and metadata of the object reach the record")
def test_the_uploader_is_in_the_record(stage: Stage) -> None:
    assert large(stage)["user"] == "Zoë"
    found = stage.imgpipe("ls", "--json", "--user", "Zoë").document["images"]
    assert "holiday/large.jpg" in [one["image_key"] for one in found]


@pytest.mark.promise("Any key works: spaces, plus, percent, Unicode")
def test_a_key_is_only_a_name(stage: Stage) -> None:
    versions = {key: stage.put(key, photo()) for key in KEYS}
    for key, version in versions.items():
        assert stage.soon(lambda key=key, version=version: stage.about(key, version)), key


@pytest.mark.promise("`get` downloads the original and what was made of it")
def test_get_downloads_the_bytes(stage: Stage) -> None:
    record = large(stage)
    assert stage.imgpipe("get", "holiday/large.jpg", "--all", "-o", str(stage.folder / "got")).status == 0
    files = {path.read_bytes() for path in (stage.folder / "got").rglob("*") if path.is_file()}
    assert files == {pictures.everything_planted("JPEG"), *(stage.body(o)[0] for o in record["renditions"])} | {
        stage.body(record["thumbnail"])[0]
    }


@pytest.mark.promise("An overwritten image has the row and the outputs of its newest version")
def test_the_newest_version_wins(stage: Stage) -> None:
    stage.ready("twice.jpg", photo(50))
    record = stage.ready("twice.jpg", photo(70))
    assert record["width"] == 70
    owned = {one["uri"] for one in record["renditions"]}
    assert stage.soon(lambda: stage.outputs_of("twice.jpg") == owned)


@pytest.mark.promise("Deleting an old version changes nothing")
def test_deleting_an_old_version_changes_nothing(stage: Stage) -> None:
    old = stage.ready("kept.jpg", photo(50))["source"]["version_id"]
    record = stage.ready("kept.jpg", photo(70))
    bucket = stage.outputs.input_bucket
    stage.clients["s3"].delete_object(Bucket=bucket, Key="kept.jpg", VersionId=old)
    # What comes after it in the queue is done, so the delete has been heard of.
    stage.ready("after.jpg", photo())
    assert stage.soon(lambda: stage.depth(stage.outputs.jobs_queue_url) == 0)
    assert stage.meta("kept.jpg") == record
    assert stage.outputs_of("kept.jpg") == {one["uri"] for one in record["renditions"]}


@pytest.mark.promise("A deleted image has neither row nor outputs, and undeleting brings both back")
def test_delete_and_undelete(stage: Stage) -> None:
    version = stage.ready("gone.jpg", photo())["source"]["version_id"]
    assert stage.imgpipe("rm", "--timeout", str(stage.patience), "gone.jpg").status == 0
    assert stage.meta("gone.jpg") is None
    assert stage.soon(lambda: stage.outputs_of("gone.jpg") == set())
    s3, bucket = stage.clients["s3"], stage.outputs.input_bucket
    (marker,) = s3.list_object_versions(Bucket=bucket, Prefix="gone.jpg")["DeleteMarkers"]
    s3.delete_object(Bucket=bucket, Key="gone.jpg", VersionId=marker["VersionId"])
    record = stage.soon(lambda: stage.about("gone.jpg", version))
    assert record
    assert stage.outputs_of("gone.jpg") == {one["uri"] for one in record["renditions"]}


@pytest.mark.promise("A bad image ends FAILED with a code, and `upload` exits 3")
def test_a_bad_image_is_refused_with_a_code(stage: Stage) -> None:
    done = stage.upload("notes.jpg", b"no picture at all\n" * 10)
    assert done.status == 3
    (record,) = done.document["images"]
    assert (record["status"], record["failure"]["code"]) == ("FAILED", "unsupported_type")
    assert record["renditions"] == []
    assert stage.outputs_of("notes.jpg") == set()
    failed = stage.imgpipe("ls", "--json", "--failed").document["images"]
    assert "notes.jpg" in [one["image_key"] for one in failed]
