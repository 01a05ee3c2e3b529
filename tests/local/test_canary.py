"""The canary goes through the real pipeline and leaves nothing behind, whether it comes through or not."""

from __future__ import annotations

from typing import Any

import pytest

from imgpipe.errors import ImgpipeError
from imgpipe.stack import canary
from imgpipe.stack.names import StackOutputs


def sing(pipeline: Any, formats: str = "") -> canary.Canary:
    return canary.sing(pipeline.clients, pipeline.outputs, formats, "000000000000", lambda _: None)


def traces(pipeline: Any) -> list[str]:
    """Everything in buckets and table that is a canary's."""
    s3, outputs = pipeline.clients["s3"], pipeline.outputs
    assert isinstance(outputs, StackOutputs)
    found = []
    for bucket in outputs.buckets:
        listed = s3.list_object_versions(Bucket=bucket, Prefix=canary.PREFIX)
        found += [one["Key"] for one in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ()))]
    rows = pipeline.clients["dynamodb"].scan(TableName=outputs.table)["Items"]
    return found + [row["image_key"]["S"] for row in rows if row["image_key"]["S"].startswith(canary.PREFIX)]


@pytest.mark.parametrize("formats", ["", "png,webp"])
def test_a_test_image_comes_through_in_a_format_that_is_accepted(pipeline: Any, formats: str) -> None:
    sung = sing(pipeline, formats)
    assert sung.renditions == ("1024", "512", "128")
    assert traces(pipeline) == []


def test_a_test_image_that_is_refused_is_a_failure_with_the_reason(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgpipe.sample.sample_photo", lambda _: b"no picture at all")
    with pytest.raises(ImgpipeError, match="not an image of a supported format") as failure:
        sing(pipeline)
    assert (failure.value.code, failure.value.status) == ("canary_failed", 1)
    assert "imgpipe logs" in failure.value.hint
    assert traces(pipeline) == []


def test_a_pipeline_that_takes_no_work_is_noticed(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = pipeline.outputs.input_bucket
    said = pipeline.clients["s3"].get_bucket_notification_configuration(Bucket=bucket)
    said.pop("ResponseMetadata")
    mute: dict[str, Any] = {"Bucket": bucket, "NotificationConfiguration": {}}
    pipeline.clients["s3"].put_bucket_notification_configuration(**mute)
    monkeypatch.setattr(canary, "_PATIENCE", 1.0)
    try:
        with pytest.raises(ImgpipeError, match="no record after 1 s"):
            sing(pipeline)
    finally:
        pipeline.clients["s3"].put_bucket_notification_configuration(**{**mute, "NotificationConfiguration": said})
    assert traces(pipeline) == []


def test_a_recipe_that_makes_nothing_of_so_small_a_picture_is_no_failure(pipeline: Any) -> None:
    settings = pipeline.home / "imgpipe.toml"
    settings.write_text("thumbnail = false\nrenditions = [{ box = 512, min_side = 4000 }]\n")
    try:
        assert pipeline.imgpipe("up").status == 0
        assert sing(pipeline).renditions == ()
    finally:
        settings.write_text("")
        assert pipeline.imgpipe("up").status == 0
    assert traces(pipeline) == []
