"""The life of a stage: made, changed, its code replaced, a failed change undone, found again, and removed."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pictures
import pytest

from imgpipe.stack.bundle import Bundle
from imgpipe.stack.deploy import describe
from imgpipe.targets import base

if TYPE_CHECKING:
    from contract.stage import Stage

STAGE = "life"
"""These tests change the stack itself, so they have one of their own. They run in this order."""

WEBP = 'renditions = [{ box = 512 }, { box = 300, format = "webp" }]\n'


def photo(width: int = 600, height: int = 400) -> bytes:
    return pictures.saved(pictures.scene(width, height), "JPEG")


@pytest.mark.promise("A second `up` changes nothing")
def test_up_again_changes_nothing(stage: Stage) -> None:
    again = stage.up()
    assert again.status == 0
    assert again.document["outcome"] == "unchanged"


@pytest.mark.promise("A rendition added to `imgpipe.toml` is made of new images; old ones keep theirs")
def test_a_rendition_is_added(stage: Stage) -> None:
    before = stage.ready("old.jpg", photo())
    stage.settings(WEBP)
    assert stage.must(stage.up())["outcome"] == "updated"
    after = stage.ready("new.jpg", photo())
    assert [(one["name"], one["width"], one["format"]) for one in after["renditions"]] == [
        ("512", 512, "jpeg"),
        ("300-webp", 300, "webp"),
    ]
    assert stage.body(after["renditions"][1])[1]["ContentType"] == "image/webp"
    assert stage.meta("old.jpg") == before


@pytest.mark.promise("`reprocess --missing` makes it of the old ones")
def test_old_images_catch_up(stage: Stage) -> None:
    done = stage.imgpipe("reprocess", "--missing", "300-webp", "--yes", "--timeout", str(stage.patience))
    assert done.status == 0, done.out + done.err
    record = stage.meta("old.jpg")
    assert record is not None
    assert [one["name"] for one in record["renditions"]] == ["512", "300-webp"]
    assert stage.outputs_of("old.jpg") >= {one["uri"] for one in record["renditions"]}


def bundled(monkeypatch: pytest.MonkeyPatch, stage: Stage, change: Any) -> None:
    """Let `up` bundle what `change` makes of the code."""
    kind = type(stage.chosen)
    original = kind.bundle

    def changed(self: Any, parameters: Mapping[str, str], progress: base.Progress) -> Bundle:
        data = change(original(self, parameters, progress).data)
        return Bundle(data, hashlib.sha256(data).hexdigest())

    monkeypatch.setattr(kind, "bundle", changed)


SAID, SAYS = b"The bytes are not an image", b"These bytes are no image"


def with_other_words(code: bytes) -> bytes:
    """The code, refusing what is no image in other words."""
    said, file = [], io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(code)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for one in old.infolist():
            data = old.read(one)
            if one.filename == "image_pipeline/record.py":
                said.append(SAID in data)
                data = data.replace(SAID, SAYS)
            new.writestr(one, data)
    assert said == [True]
    return file.getvalue()


@pytest.mark.promise("Changed code answers after the next `up`")
def test_changed_code_answers(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled(monkeypatch, stage, with_other_words)
    assert stage.must(stage.up())["outcome"] == "updated"
    (record,) = stage.must(stage.upload("by-new-code.jpg", b"text"), 3)["images"]
    assert record["failure"]["reason"].startswith(SAYS.decode())


@pytest.mark.promise("A failed update is explained, and the pipeline works on")
def test_a_failed_update_is_explained(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = fail(stage, monkeypatch)
    assert failed.status == 1
    error = failed.document["error"]
    assert (error["code"], "Function" in error["message"]) == ("deploy_failed", True)
    stage.ready("after-failure.jpg", photo())


@pytest.mark.promise("A failed update is undone")
def test_a_failed_update_is_undone(stage: Stage) -> None:
    view = describe(stage.clients, stage.name)
    assert view is not None
    assert view.status == "UPDATE_ROLLBACK_COMPLETE"
    logs = stage.clients["logs"].describe_log_groups(logGroupNamePrefix=stage.outputs.log_group)["logGroups"]
    assert [one["retentionInDays"] for one in logs] == [30]


@pytest.mark.promise("`up` goes on after a failed update")
def test_up_goes_on_after_a_failed_update(stage: Stage) -> None:
    stage.settings(WEBP)
    again = stage.up()
    assert again.status == 0, again.out + again.err
    assert stage.ready("goes-on.jpg", photo())["renditions"]


def fail(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An `up` whose code is no zip, and that would keep the log for another time."""
    stage.settings(WEBP)
    toml = stage.folder / "imgpipe.toml"
    toml.write_text(toml.read_text() + "log_days = 60\n")
    bundled(monkeypatch, stage, lambda code: b"not a zip" + code[:20])
    return stage.up()


@pytest.mark.promise("`up` finds buckets and table again that a deleted stack left behind")
def test_what_a_deleted_stack_left_is_found_again(stage: Stage) -> None:
    record = stage.ready("survivor.jpg", photo())
    stage.clients["cloudformation"].delete_stack(StackName=stage.stack)
    stage.until(lambda: describe(stage.clients, stage.name) is None)
    done = stage.up()
    assert done.status == 0, done.out + done.err
    assert stage.meta("survivor.jpg") == record
    assert stage.upload("after-import.jpg", photo()).status == 0


@pytest.mark.promise("`down` counts what it deletes, and leaves nothing")
def test_down_leaves_nothing(stage: Stage) -> None:
    rows, versions = counted(stage)
    done = stage.imgpipe("down", "--yes", "--json")
    assert done.status == 0, done.out + done.err
    assert (done.document["outcome"], done.document["left"]) == ("deleted", [])
    deleted = done.document["deleted"]
    assert (deleted["rows"], deleted["objects"] + deleted["versions"]) == (rows, versions)
    assert stage.imgpipe("status").status == 4
    if stage.target == "local":
        assert not (stage.home / stage.name).exists()
    else:
        assert stage.soon(lambda: remains(stage) == [])


@pytest.mark.promise("After `down`, `up` makes the stage anew")
def test_up_after_down_begins_anew(stage: Stage) -> None:
    assert stage.must(stage.up())["outcome"] == "created"
    assert stage.must(stage.imgpipe("ls", "--json"))["images"] == []
    assert stage.ready("anew.jpg", photo())["renditions"]


def counted(stage: Stage) -> tuple[int, int]:
    """Rows and versions, as they are."""
    pages = stage.clients["s3"].get_paginator("list_object_versions").paginate(Bucket=stage.names.input_bucket)
    versions = sum(len(page.get("Versions", ())) for page in pages)
    scan = stage.clients["dynamodb"].get_paginator("scan").paginate(TableName=stage.names.table)
    return sum(page["Count"] for page in scan), versions


def remains(stage: Stage) -> list[str]:
    """Everything whose name holds the stack's."""
    clients, stack = stage.clients, stage.stack
    groups = clients["logs"].describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{stack}-")["logGroups"]
    names = [
        *(one["Name"] for one in clients["s3"].list_buckets()["Buckets"]),
        *(name for page in clients["dynamodb"].get_paginator("list_tables").paginate() for name in page["TableNames"]),
        *(url for url in clients["sqs"].list_queues(QueueNamePrefix=stack).get("QueueUrls", ())),
        *(one["logGroupName"] for one in groups),
        *(one["AlarmName"] for one in clients["cloudwatch"].describe_alarms(AlarmNamePrefix=stack)["MetricAlarms"]),
    ]
    found = [name for name in names if f"{stack}-" in name]
    try:
        clients["lambda"].get_function(FunctionName=stage.names.function)
        found.append(stage.names.function)
    except clients["lambda"].exceptions.ResourceNotFoundException:
        pass
    return found
