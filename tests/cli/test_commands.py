"""The commands as their users run them, against a pipeline that is really up; and the shape of all their JSON."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from commandline import Finished, clean_environment, in_process
from PIL import Image

Run = Callable[..., Finished]

RECORD = {
    *("image_key", "status", "file_name", "user", "uploaded_at", "source", "recipe", "revision", "processed_at"),
    *("request_id", "renditions", "thumbnail", "exif", "notes", "failure", "timings_ms"),
}
PICTURE = {"format", "content_type", "width", "height", "mode", "frames", "sha256", "dominant_colour"}


def picture(width: int, height: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), (200, 80, 40)).save(file, "JPEG")
    return file.getvalue()


pytestmark = pytest.mark.usefixtures("photos")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipeline")


@pytest.fixture(scope="module")
def pipeline(home: Path) -> Iterator[Run]:
    """Runs commands on one pipeline, which is up before the first test and gone after the last."""

    def run(*arguments: str, cwd: Path = home, stdin: bytes = b"") -> Finished:
        return in_process(*arguments, env=clean_environment(home), cwd=cwd, stdin=stdin)

    try:
        up = run("up", "--json")
        assert up.status == 0, up
        assert up.document.keys() == {
            *("outcome", "endpoint", "account", "region", "outputs", "changes", "parameters", "canary", "seconds")
        }
        assert up.document["outcome"] == "created"
        yield run
    finally:
        run("down", "--yes")


@pytest.fixture(scope="module")
def photos(pipeline: Run, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """What uploading a folder with a large picture, a small one and a broken one said."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "large.jpg").write_bytes(picture(1600, 1200))
    (folder / "small one.jpg").write_bytes(picture(300, 200))
    (folder / "broken.jpg").write_bytes(picture(800, 600)[:2000])
    return pipeline("upload", str(folder), "--prefix", "t/", "--user", "ada", "--json")


def test_up_again_changes_nothing_and_says_so(pipeline: Run) -> None:
    again = pipeline("up")
    assert again.status == 0
    assert again.out.startswith("Nothing to do")


def test_upload_gives_a_record_for_each_image_and_a_summary(photos: Finished) -> None:
    assert photos.status == 3
    assert photos.document.keys() == {"images", "summary"}
    assert photos.document["summary"] == {"ready": 2, "failed": 1, "timed_out": 0}
    records = {record["image_key"]: record for record in photos.document["images"]}
    assert records.keys() == {"t/large.jpg", "t/small one.jpg", "t/broken.jpg"}
    large, broken = records["t/large.jpg"], records["t/broken.jpg"]
    assert large.keys() == RECORD | PICTURE
    assert (large["width"], large["height"], large["user"]) == (1600, 1200, "ada")
    assert [one["name"] for one in large["renditions"]] == ["1024", "512", "128"]
    assert (large["thumbnail"]["width"], large["thumbnail"]["height"]) == (64, 64)
    assert broken["status"] == "FAILED"
    assert broken.keys() >= RECORD
    assert broken["failure"].keys() == {"code", "reason"}


def test_meta_gives_the_same_record(pipeline: Run, photos: Finished) -> None:
    for record in photos.document["images"]:
        assert pipeline("meta", record["image_key"], "--json").document == record


def test_meta_for_people_says_what_there_is_and_what_to_do(pipeline: Run) -> None:
    large, broken = pipeline("meta", "t/large.jpg").out, pipeline("meta", "t/broken.jpg").out
    assert "1600 × 1200" in large
    assert "1024×768" in large
    assert "what to do" in broken


def test_an_unknown_key_is_named_with_the_key_that_was_meant(pipeline: Run) -> None:
    for command in (["meta"], ["get"], ["rm"]):
        done = pipeline(*command, "t/lrage.jpg", "--json")
        assert done.status == 1
        assert done.document["error"]["code"] == "unknown_key"
        assert "t/large.jpg" in done.document["error"]["message"]


def test_ls_lists_and_narrows(pipeline: Run) -> None:
    everything = pipeline("ls", "--json").document
    assert everything.keys() == {"images", "next"}
    assert everything["next"] is None
    assert {entry["image_key"] for entry in everything["images"]} >= {"t/large.jpg", "t/small one.jpg", "t/broken.jpg"}
    for entry in everything["images"]:
        assert entry.keys() == {"image_key", "status", "uploaded_at", "width", "height", "format", "user"}
    failed = pipeline("ls", "--failed", "--json").document
    assert [entry["image_key"] for entry in failed["images"]] == ["t/broken.jpg"]
    page = pipeline("ls", "--user", "ada", "--limit", "2", "--json").document
    rest = pipeline("ls", "--next", page["next"], "--json").document
    assert (len(page["images"]), len(rest["images"])) == (2, 1)


def test_a_pipe_gets_plain_lines(pipeline: Run) -> None:
    lines = pipeline("ls", "--user", "ada").out.splitlines()
    assert len(lines) == 3
    assert all(len(line.split("\t")) == 6 for line in lines)
    assert "\x1b" not in "".join(lines)


def test_get_writes_the_original_and_what_was_made_and_overwrites_nothing(pipeline: Run, tmp_path: Path) -> None:
    done = pipeline("get", "t/large.jpg", "--all", "-o", "out/", "--json", cwd=tmp_path)
    assert {one["path"] for one in done.document["files"]} == {
        *("out/large.jpg", "out/large-1024.jpg", "out/large-512.jpg", "out/large-128.jpg", "out/large-thumbnail.jpg")
    }
    assert (tmp_path / "out" / "large.jpg").read_bytes() == picture(1600, 1200)
    assert Image.open(tmp_path / "out" / "large-512.jpg").size == (512, 384)
    again = pipeline("get", "t/large.jpg", "-r", "thumbnail", "-o", "out/large-thumbnail.jpg", "--json", cwd=tmp_path)
    assert (again.status, again.document["error"]["code"]) == (6, "file_exists")
    assert (
        pipeline("get", "t/large.jpg", "-r", "thumbnail", "-o", "out/large-thumbnail.jpg", "-f", cwd=tmp_path).status
        == 0
    )


def test_get_makes_the_folder_that_it_is_told_and_says_where_the_file_is(pipeline: Run, tmp_path: Path) -> None:
    done = pipeline("get", "t/large.jpg", "-r", "512", "-o", "new/folder/", cwd=tmp_path)
    assert done.status == 0
    assert "new/folder/large-512.jpg" in done.out
    assert Image.open(tmp_path / "new" / "folder" / "large-512.jpg").size == (512, 384)
    # Without the slash it is the file itself, as for cp.
    assert "\tnewer" in pipeline("get", "t/large.jpg", "-r", "512", "-o", "newer", cwd=tmp_path).out
    assert (tmp_path / "newer").is_file()


def test_get_says_why_there_is_no_rendition(pipeline: Run) -> None:
    unknown = pipeline("get", "t/large.jpg", "-r", "4096", "--json")
    failed = pipeline("get", "t/broken.jpg", "-r", "512", "--json")
    assert (unknown.status, unknown.document["error"]["code"]) == (1, "no_such_rendition")
    assert (failed.status, failed.document["error"]["code"]) == (1, "image_failed")


def test_a_key_that_climbs_out_is_stored_and_fetched_and_stays_inside(pipeline: Run, tmp_path: Path) -> None:
    key = "../../\x1b[31mé\n.jpg"
    sent = pipeline("upload", "-", "--key", key, stdin=picture(30, 20))
    assert sent.status == 0
    assert "\x1b" not in sent.out
    assert "\x1b" not in pipeline("meta", key).out
    assert pipeline("meta", key, "--json").document["image_key"] == key
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    assert pipeline("get", key, cwd=inside).status == 0
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.parent == inside
    assert pipeline("rm", key, "--json").document == {"deleted": [key], "timed_out": []}
    assert pipeline("meta", key).status == 1


def test_several_images_are_removed_only_when_told_to(pipeline: Run, tmp_path: Path) -> None:
    for name in ("one.jpg", "two.jpg"):
        (tmp_path / name).write_bytes(picture(20, 20))
    assert pipeline("upload", "one.jpg", "two.jpg", "--prefix", "r/", cwd=tmp_path).status == 0
    assert pipeline("rm", "r/one.jpg", "r/two.jpg").status == 6
    assert pipeline("rm", "--prefix", "r/").status == 6
    removed = pipeline("rm", "--prefix", "r/", "--yes", "--json")
    assert removed.document == {"deleted": ["r/one.jpg", "r/two.jpg"], "timed_out": []}
    assert pipeline("ls", "--prefix", "r/", "--json").document["images"] == []


def test_an_upload_that_is_not_waited_for_says_what_was_sent(pipeline: Run) -> None:
    sent = pipeline("upload", "-", "--key", "later.jpg", "--no-wait", "--json", stdin=picture(20, 20)).document
    (image,) = sent["images"]
    assert image.keys() == {"source", "image_key", "version_id"}
    assert sent["summary"] == {"ready": 0, "failed": 0, "timed_out": 0}


def test_logs_of_a_key_are_that_image_s_lines_only(pipeline: Run) -> None:
    events: list[Any] = []
    while not events:
        events = pipeline("logs", "--key", "t/broken.jpg", "--json").document["events"]
    assert {event["message"]["image_key"] for event in events} == {"t/broken.jpg"}
    assert all(event.keys() == {"timestamp", "stream", "message"} for event in events)


def test_logs_of_a_key_without_lines_tell_a_slip_from_a_short_look_back(pipeline: Run) -> None:
    slip = pipeline("logs", "--key", "t/lrage.jpg", "--json")
    assert (slip.status, slip.document["error"]["code"]) == (1, "unknown_key")
    assert "Did you mean t/large.jpg? Nor has the log a line about it" in slip.document["error"]["message"]
    late = pipeline("logs", "--key", "t/large.jpg", "--since", "0s")
    assert (late.status, late.out) == (0, "")
    assert "--since looks further back" in late.err
    assert pipeline("logs", "--key", "t/large.jpg", "--since", "0s", "--json").document == {"events": []}


def test_status_reports_the_whole_pipeline(pipeline: Run) -> None:
    report = pipeline("status", "--json").document
    assert report.keys() == {
        *("target", "endpoint", "account", "region", "stage", "stack", "state"),
        *("queues", "images", "alarms", "last_failure"),
    }
    assert (report["target"], report["stack"], report["state"]) == ("local", "imgpipe-dev", "CREATE_COMPLETE")
    assert report["queues"].keys() == {"waiting", "in_flight", "dead"}
    assert report["images"]["failed"] == 1
    assert report["last_failure"]["image_key"] == "t/broken.jpg"


def test_env_is_what_a_shell_needs_and_keeps_ambient_credentials_out(pipeline: Run) -> None:
    program = (
        "import boto3, os; "
        "assert not {'AWS_PROFILE', 'AWS_SESSION_TOKEN'} & set(os.environ); "
        "s3 = boto3.client('s3'); "
        "print(s3.head_object(Bucket=os.environ['IMGPIPE_INPUT_BUCKET'], Key='t/large.jpg')['ContentType'])"
    )
    script = f'{pipeline("env").out}\nexec "$0" -c "$1"'
    ambient = {"PATH": os.environ["PATH"], "AWS_PROFILE": "prod", "AWS_SESSION_TOKEN": "secret"}
    done = subprocess.run(
        ["/bin/sh", "-c", script, sys.executable, program], env=ambient, capture_output=True, text=True, check=False
    )
    assert done.stdout == "image/jpeg\n", done.stderr
    assert pipeline("env", "--json").document["AWS_PROFILE"] is None


def test_ctrl_c_ends_a_tail_with_one_line_and_130(home: Path) -> None:
    command = [sys.executable, "-m", "imgpipe", "logs", "--follow", "--verbose", "--since", "1d"]
    with subprocess.Popen(
        command, env=clean_environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert tail.stdout.readline()
        tail.send_signal(signal.SIGINT)
        assert tail.stderr.read() == "error: Interrupted.\n"
    assert tail.returncode == 130


def test_down_asks_stops_and_leaves_nothing(pipeline: Run) -> None:
    assert pipeline("down", "--json").document["error"]["code"] == "refused"
    assert pipeline("down", "--keep-data", "--json").document == {"outcome": "stopped"}
    assert pipeline("status").status == 4
    assert pipeline("up", "--json").status == 0
    assert pipeline("meta", "t/large.jpg").status == 0
    down = pipeline("down", "--yes", "--json").document
    assert (down["outcome"], down["left"]) == ("deleted", [])
    assert down["deleted"]["objects"] >= 3
    after = pipeline("status", "--json")
    assert (after.status, after.document["error"]["code"]) == (4, "not_up")
