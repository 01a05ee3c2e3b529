"""Every kind of picture, and every kind of file that is none, through the whole pipeline by `imgpipe upload`."""

from __future__ import annotations

import json
import re
import unicodedata
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pictures
import pytest
from PIL import Image

from image_pipeline.record import Status

if TYPE_CHECKING:
    from commandline import Finished
    from conftest import Bucket, Pipeline

GOOD = {name: one for name, one in pictures.GOOD.items() if not one.formats}
BAD = {name: one for name, one in pictures.BAD.items() if not one.formats}

KEYS = [
    "two words.jpg",
    "a+b.jpg",
    "100%.jpg",
    "%2Fencoded%20.jpg",
    "you & me.jpg",
    unicodedata.normalize("NFC", "é.jpg"),
    unicodedata.normalize("NFD", "é.jpg"),
    "日本語/写真 🏔.jpg",
    "/leading/slash.jpg",
    "..",
    "up/../down.jpg",
    "double//slash.jpg",
    "line\nbreak.jpg",
    "quote\"'<>.jpg",
    "k" * 1024,
]


def slug(name: str) -> str:
    """A file name for a picture's name, without an ending that would tell its format."""
    return re.sub(r"\W+", "-", name).strip("-").lower()


def sent(pipeline: Pipeline, folder: Path, files: dict[str, bytes]) -> tuple[Finished, dict[str, Any]]:
    """Upload files by name; the finished command, and the records by key."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    done = pipeline.imgpipe("upload", "--json", *sorted(str(folder / name) for name in files))
    return done, {one["image_key"]: one for one in json.loads(done.out)["images"]}


@pytest.fixture(scope="module")
def ready(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The records of all good pictures, none of whose names tells the format."""
    files = {slug(name): good.make() for name, good in GOOD.items()}
    done, records = sent(pipeline, tmp_path_factory.mktemp("good") / "in", files)
    assert done.status == 0, done.err
    return records


@pytest.mark.parametrize("name", GOOD)
def test_a_good_picture_ends_ready_upright_and_in_its_colours(
    pipeline: Pipeline, ready: dict[str, Any], name: str
) -> None:
    good, record = GOOD[name], ready[slug(name)]
    assert (record["status"], record["format"]) == ("READY", good.format)
    assert (record["width"], record["height"]) == (good.width, good.height)
    assert [one["name"] for one in record["renditions"]] == ["1024", "512", "128"]
    assert (record["thumbnail"] is not None) == (max(good.width, good.height) >= 1024)
    s3 = pipeline.clients["s3"]
    for one in [*record["renditions"], *filter(None, [record["thumbnail"]])]:
        body = s3.get_object(Bucket=one["bucket"], Key=one["key"])["Body"].read()
        image = Image.open(BytesIO(body))
        assert image.size == (one["width"], one["height"])
        assert len(body) == one["bytes"]
        if one is record["thumbnail"]:
            assert image.size == (64, 64)
        if good.corners is not None:
            assert pictures.strangest_corner(image, good) <= good.tolerance, one["name"]


@pytest.fixture(scope="module")
def failed(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, dict[str, Any]]:
    """What became of all bad files, each called .jpg, with a good picture sent after them."""
    files = {f"{slug(name)}.jpg": bad.make() for name, bad in BAD.items()}
    return sent(pipeline, tmp_path_factory.mktemp("bad") / "in", files)


def test_files_that_are_refused_make_upload_exit_3(failed: tuple[Finished, dict[str, Any]]) -> None:
    done, _ = failed
    assert done.status == 3
    assert done.document["summary"] == {"ready": 0, "failed": len(BAD), "timed_out": 0}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_ends_failed_with_its_code(failed: tuple[Finished, dict[str, Any]], name: str) -> None:
    record = failed[1][f"{slug(name)}.jpg"]
    assert record["status"] == "FAILED"
    assert record["failure"]["code"] == BAD[name].refusal
    assert record["renditions"] == []


def test_the_worker_survived_all_that_and_stayed_under_one_gigabyte(
    pipeline: Pipeline, failed: tuple[Finished, dict[str, Any]], bucket: Bucket
) -> None:
    del failed
    version = bucket.put("after", GOOD["PNG"].make())
    assert bucket.row_of("after", version).status is Status.READY
    peaks = list(worker_peaks(pipeline.engine_pid))
    assert peaks
    assert max(peaks) < 1_000_000_000


def worker_peaks(engine_pid: int) -> list[int]:
    """The peak resident memory, in bytes, of every process that the engine started."""
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc, which this platform has not")
    peaks = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            facts = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if int(facts["PPid"]) == engine_pid and "VmHWM" in facts:
            peaks.append(int(facts["VmHWM"].split()[0]) * 1024)
    return peaks


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ascii(key)[:24])
def test_a_key_is_only_a_name(pipeline: Pipeline, bucket: Bucket, tmp_path: Path, key: str) -> None:
    photo = tmp_path / "photo"
    photo.write_bytes(pictures.saved(pictures.scene(60, 40), "JPEG"))
    done = pipeline.imgpipe("upload", "--json", "--key", key, str(photo))
    assert done.status == 0, done
    (record,) = done.document["images"]
    assert (record["image_key"], record["status"]) == (key, "READY")
    shown = pipeline.imgpipe("meta", "--json", "--", key)
    assert shown.document == record
    removed = pipeline.imgpipe("rm", "--", key)
    assert removed.status == 0, removed
    assert bucket.row(key) is None


def test_nfc_and_nfd_are_two_images(bucket: Bucket) -> None:
    composed, decomposed = unicodedata.normalize("NFC", "ü.jpg"), unicodedata.normalize("NFD", "ü.jpg")
    small, large = (pictures.saved(pictures.scene(width, 40), "JPEG") for width in (60, 90))
    first, second = bucket.put(composed, small), bucket.put(decomposed, large)
    assert bucket.row_of(composed, first).width == 60
    assert bucket.row_of(decomposed, second).width == 90
