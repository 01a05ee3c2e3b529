"""Which story the facts about an image make."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from image_pipeline.record import Failure, ImageRecord, Output, Refusal, Source, Status
from imgpipe.deadletters import DeadLetter
from imgpipe.logs import Line
from imgpipe.why import Facts, Version, tell

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
AGES = timedelta(hours=2)
VERDICT = "Failed: the image was refused"


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def version(name: str = "v1", at: datetime = NOW - AGES, size: int | None = 1234) -> Version:
    return Version(at=at, version_id=name, bytes=size)


def line(message: str, at: datetime = NOW - AGES, **said: Any) -> Line:
    data = {"message": message, "image_key": "a.jpg", "request_id": "r1", **said}
    return Line(int(at.timestamp() * 1000), "stream", json.dumps(data), data)


def letter(at: datetime = NOW - AGES) -> DeadLetter:
    return DeadLetter(
        message_id="m", receipt_handle="h", body="{}", attributes={}, sent_at=at, receives=9, keys=("a.jpg",)
    )


PICTURE = Output(
    name="1024", width=1024, height=768, bytes=9, format="jpeg", content_type="image/jpeg", bucket="b", key="k", uri="u"
)
READY = ImageRecord(
    image_key="a.jpg",
    status=Status.READY,
    file_name="a.jpg",
    user="ada",
    uploaded_at="2026-01-31T10:00:00.000Z",
    source=Source(bucket="b", key="a.jpg", uri="s3://b/a.jpg", version_id="v1"),
    recipe="r",
    revision="1",
    processed_at="2026-01-31T10:00:01.000Z",
    request_id="r1",
    renditions=(PICTURE,),
    notes=("No thumbnail: too small.",),
)


def failed(code: Refusal, reason: str = "", at: datetime = NOW - AGES, version_id: str | None = "v1") -> ImageRecord:
    failure = Failure(code=code, reason=reason or code.sentence)
    return replace(
        READY,
        status=Status.FAILED,
        failure=failure,
        renditions=(),
        notes=(),
        processed_at=at.isoformat(),
        source=replace(READY.source, version_id=version_id),
    )


HERE = Facts(key="a.jpg", now=NOW, served=version(), versions=(version(),))
GONE = Facts(key="a.jpg", now=NOW, versions=(version("m", ago(3600), None), version()))
NEW = replace(HERE, served=version(at=ago(5)), versions=(version(at=ago(5)),))
TRIED = (line("Received", receive_count=3), line("Will be tried again", receive_count=3, error="SlowDown"))


@pytest.mark.parametrize(
    ("facts", "state", "words", "next_"),
    [
        (replace(HERE, record=READY), "ready", "1 rendition and no thumbnail", "imgpipe get a.jpg"),
        (replace(HERE, record=replace(READY, thumbnail=PICTURE)), "ready", "and a thumbnail", "imgpipe get a.jpg"),
        (replace(HERE, record=READY, letters=(letter(),)), "ready", "left over", "imgpipe failures purge a.jpg"),
        (replace(HERE, record=failed(Refusal.TRUNCATED)), "failed", "truncated", "upload the whole file"),
        (replace(HERE, record=failed(Refusal.UNSUPPORTED_TYPE)), "failed", "format", "imgpipe reprocess a.jpg"),
        (replace(HERE, record=failed(Refusal.CRASHED)), "failed", "crashed", "imgpipe reprocess a.jpg"),
        (
            replace(HERE, record=failed(Refusal.CRASHED), letters=(letter(),)),
            *("failed", "dead letter", "imgpipe failures redrive a.jpg"),
        ),
        (replace(HERE, record=failed(Refusal.CRASHED, at=ago(10))), "working", "last attempt", "imgpipe why a.jpg"),
        (replace(HERE, record=failed(Refusal.CRASHED, "It broke.", ago(10))), "failed", "It broke.", "reprocess"),
        (replace(HERE, record=failed(Refusal.FORBIDDEN, version_id=None)), "failed", "may not read", "policy"),
        (
            replace(NEW, record=failed(Refusal.FORBIDDEN, version_id=None), waiting=1),
            *("queued", "newest version", "imgpipe why a.jpg"),
        ),
        (replace(HERE, waiting=4, in_flight=2), "queued", "4 messages wait and 2 are in work", "imgpipe why a.jpg"),
        (NEW, "queued", "within the last minute", "imgpipe why a.jpg"),
        (HERE, "lost", "no record yet", "imgpipe reprocess a.jpg"),
        (replace(HERE, all_letters=False), "lost", "among many dead letters", "imgpipe reprocess a.jpg"),
        (replace(HERE, record=READY, served=version("v2")), "lost", "newest version", "imgpipe reprocess a.jpg"),
        (replace(HERE, letters=(letter(),)), "dead_lettered", "every receive", "imgpipe failures redrive a.jpg"),
        (replace(HERE, letters=(letter(),), waiting=9), "dead_lettered", "every receive", "imgpipe failures redrive"),
        (replace(NEW, letters=(letter(),), waiting=9), "queued", "still in the queue", "imgpipe why a.jpg"),
        (replace(HERE, lines=TRIED, waiting=1), "working", "attempt 3 failed", "imgpipe logs -f --key=a.jpg"),
        (replace(HERE, lines=TRIED[:1], in_flight=1), "working", "attempt 3 is under way", "imgpipe logs -f"),
        (replace(NEW, lines=TRIED, waiting=1), "queued", "still in the queue", "imgpipe why a.jpg"),
        (replace(HERE, lines=(*TRIED, line("Ready")), waiting=1), "queued", "in the queue", "imgpipe why a.jpg"),
        (replace(GONE, record=READY), "lost", "event was lost", "imgpipe reprocess a.jpg"),
        (replace(GONE, record=READY, waiting=1), "leaving", "about to go", "imgpipe why a.jpg"),
        (replace(GONE, record=READY, versions=(version("m", ago(5), None),)), "leaving", "about to go", "imgpipe why"),
        (
            replace(GONE, record=READY, letters=(letter(),)),
            "dead_lettered",
            "every receive",
            "imgpipe failures redrive",
        ),
        (GONE, "deleted", "old versions are kept", "remove the delete marker"),
        (replace(GONE, versions=GONE.versions[:1]), "deleted", "No version", ""),
        (replace(GONE, letters=(letter(),)), "deleted", "dead letter", "imgpipe failures purge a.jpg"),
        (replace(GONE, versions=(), lines=(line("Ready"),)), "deleted", "only the log", ""),
        (replace(GONE, versions=()), "unknown", "nothing here has heard", "imgpipe ls"),
        (replace(GONE, versions=(), close="b.jpg"), "unknown", "Did you mean b.jpg?", "imgpipe why b.jpg"),
        (Facts(key="a/", now=NOW, served=version(size=0)), "folder", "empty folder", ""),
        (Facts(key="a/", now=NOW, served=version(size=7)), "lost", "no record yet", "imgpipe reprocess a/"),
    ],
)
def test_how_an_image_stands_and_what_to_do_next(facts: Facts, state: str, words: str, next_: str) -> None:
    story = tell(facts)
    assert story.state == state
    assert words in story.now
    assert next_ in story.next
    assert bool(next_) == bool(story.next)


def test_the_story_runs_from_the_upload_over_each_attempt_to_the_decision() -> None:
    lines = (
        line("Received", ago(7199), receive_count=1, request_id="r0"),
        line("Unexpected error", ago(7198), receive_count=1, request_id="r0", error="boom"),
        Line(int(ago(7197).timestamp() * 1000), "stream", "2026 r0 Task timed out after 60.00 seconds", None),
        line("Received", ago(7196), receive_count=2),
        line("Ready", ago(7195), made=["1024 1024x768"]),
    )
    story = tell(replace(HERE, record=READY, lines=lines))
    assert [one.what for one in story.moments] == [
        "Uploaded by ada: 1,234 bytes.",
        "Attempt 1 began.",
        "Attempt 1 failed unexpectedly: boom.",
        "2026 r0 Task timed out after 60.00 seconds",
        "Attempt 2 began.",
        "READY: 1024 1024x768.",
        "Decided: No thumbnail: too small.",
    ]


def test_without_a_log_the_record_tells_how_it_ended() -> None:
    whats = [one.what for one in tell(replace(HERE, record=READY, versions=())).moments]
    assert whats == ["Uploaded by ada.", "READY: 1024 1024x768.", "Decided: No thumbnail: too small."]
    refused = tell(replace(HERE, record=failed(Refusal.CORRUPT)))
    assert refused.moments[-1].what == f"FAILED (corrupt): {Refusal.CORRUPT.sentence}"


def test_a_refusal_that_the_log_tells_is_told_once() -> None:
    said = line(VERDICT, code="corrupt", reason="It is damaged.")
    story = tell(replace(HERE, record=failed(Refusal.CORRUPT, "It is damaged."), lines=(said,)))
    assert [one.what for one in story.moments][1:] == ["FAILED (corrupt): It is damaged."]


def test_versions_deletions_and_dead_letters_are_part_of_the_story() -> None:
    story = tell(replace(GONE, letters=(letter(ago(60)),)))
    assert [one.what for one in story.moments] == [
        "Uploaded: 1,234 bytes.",
        "Deleted, by a delete marker.",
        "A message about it was sent; it was received 9 times in all, and is a dead letter.",
    ]
    assert story.to_json()["moments"][0] == {"at": "2026-01-31T10:00:00Z", "what": "Uploaded: 1,234 bytes."}
