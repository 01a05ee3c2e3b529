"""The comparison of table, bucket and outputs: read lazily, kept on disk, and right whatever the keys are."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from imgpipe import inventory
from imgpipe.comparison import Comparison, Glance, Suspect, identity, says
from imgpipe.inventory import take

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
PAGE = 100
NAMES: Any = SimpleNamespace(table="t", input_bucket="in", resized_bucket="resized", thumbnails_bucket="thumbnails")


class Source:
    """Clients whose listings are made while they are read: `size` images, all of them off with `off`."""

    def __init__(self, size: int, *, off: bool) -> None:
        self.size, self.off = size, off
        self.fetched = 0

    def __getitem__(self, service: str) -> Source:
        del service
        return self

    def describe_table(self, **_: Any) -> dict[str, Any]:
        return {"Table": {"ItemCount": self.size}}

    def get_paginator(self, operation: str) -> SimpleNamespace:
        def paginate(Bucket: str = "", **_: Any) -> Iterator[dict[str, Any]]:
            for start in range(0, self.size, PAGE):
                self.fetched += 1
                yield self._page(operation, Bucket, range(start, start + PAGE))

        return SimpleNamespace(paginate=paginate)

    def _page(self, operation: str, bucket: str, numbers: range) -> dict[str, Any]:
        if operation == "scan":
            return {"Items": [self._row(number) for number in numbers]}
        keys = [f"{n:07}.jpg" if bucket == "in" else f"{n:07}.jpg/0123456789ab/1024.jpg" for n in numbers]
        entry = {"LastModified": AT, "ETag": '"e"', "Size": 9, "VersionId": "v", "IsLatest": True}
        entries = [entry | {"Key": key} for key in keys]
        return {"Versions": entries, "Contents": entries, "ResponseMetadata": {"HTTPHeaders": {}}}

    def _row(self, number: int) -> dict[str, Any]:
        key = f"{number:07}.jpg"
        version, attempt = ("old", "ffffffffffff") if self.off else ("v", "0123456789ab")
        outputs = [
            {"M": {"bucket": {"S": bucket}, "key": {"S": f"{key}/{attempt}/1024.jpg"}}} for bucket in ("resized",)
        ]
        return {
            "image_key": {"S": key},
            "source": {"M": {"version_id": {"S": version}, "etag": {"S": "e"}}},
            "uploaded_at": {"S": "2026-01-31T12:00:00Z"},
            "processed_at": {"S": "2026-01-31T12:00:01Z"},
            "renditions": {"L": outputs},
            "thumbnail": {"M": {"bucket": {"S": "thumbnails"}, "key": {"S": f"{key}/{attempt}/1024.jpg"}}},
        }


def peak(size: int, *, off: bool) -> int:
    """The most memory that Python objects took while `size` images were compared and the suspects read, in bytes."""
    source, compared = Source(size, off=off), Comparison()
    tracemalloc.start()
    try:
        take(source, NAMES, compared, lambda _: None)  # type: ignore[arg-type]
        assert (compared.rows, compared.objects, compared.outputs) == (size, size, 2 * size)
        assert compared.count() == ((size, 2 * size) if off else (0, 0))
        assert sum(1 for _ in compared.suspects()) == size * off
        assert sum(1 for _ in compared.unlisted()) == 2 * size * off
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        compared.close()


class AtOnce:
    """An executor that works when it is asked: each page comes as early as it can, so most are held, every time."""

    def __init__(self, _: int) -> None: ...

    def __enter__(self) -> AtOnce:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*args))
        return done


@pytest.mark.parametrize("off", [False, True])
def test_memory_does_not_grow_with_the_number_of_images(off: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "ThreadPoolExecutor", AtOnce)
    peak(PAGE, off=off)  # what is made once
    assert peak(60 * PAGE, off=off) < 1.2 * peak(12 * PAGE, off=off)


def test_at_most_one_page_is_fetched_ahead() -> None:
    source, ahead = Source(8 * PAGE, off=False), []

    class Watched(Comparison):
        def add_row(self, row: Glance) -> None:
            super().add_row(row)
            ahead.append(source.fetched - (self.rows - 1) // PAGE - 1)

    take(source, NAMES, Watched(), lambda _: None)  # type: ignore[arg-type]
    assert set(ahead) <= {0, 1}


def row(key: str, *outputs: str, known: str | None = "v", processed: float = 10) -> Glance:
    return Glance(key, known, processed, tuple(("resized", one) for one in outputs))


def suspects(compared: Comparison) -> list[Suspect]:
    compared.finish()
    return list(compared.suspects())


def test_what_agrees_is_no_suspect() -> None:
    compared = Comparison()
    compared.add_row(row("a", "a/0123456789ab/1.jpg"))
    compared.add_object("a", "v", 5)
    compared.add_output("resized", "a/0123456789ab/1.jpg", 1, 6)
    assert suspects(compared) == []
    assert list(compared.unlisted()) == []


def test_each_disagreement_makes_a_suspect() -> None:
    compared = Comparison()
    for one in (row("stale", known="old"), row("marked"), row("traceless"), row("holes", "holes/0123456789ab/1.jpg")):
        compared.add_row(one)
    compared.add_object("stale", "v", 5)
    compared.add_object("marked", None, 6)
    compared.add_object("never there", None, 6)
    compared.add_object("new", "v", 7)
    compared.add_object("holes", "v", 8)
    assert suspects(compared) == [
        Suspect("holes", None, None),
        Suspect("marked", None, 6),
        Suspect("new", "v", 7),
        Suspect("stale", "v", 5),
        Suspect("traceless", None, None),
    ]


def test_the_same_key_in_the_other_bucket_is_not_what_the_row_lists() -> None:
    compared = Comparison()
    compared.add_row(row("a", "a/0123456789ab/64.jpg"))
    compared.add_object("a", "v", 5)
    compared.add_output("thumbnails", "a/0123456789ab/64.jpg", 1, 6)
    assert [one.image_key for one in suspects(compared)] == ["a"]
    assert [one.bucket for one in compared.unlisted()] == ["thumbnails"]


@pytest.mark.parametrize("owner", ["a", "a/b", "a\nb", "a/0123456789ab/1024.jpg", "/", "\x00é\U0001f600"])
def test_the_owner_of_an_output_is_what_its_key_begins_with(owner: str) -> None:
    compared = Comparison()
    compared.add_output("resized", f"{owner}/ba9876543210/1024.jpg", 3, 6)
    (found,) = compared.unlisted()
    assert (found.owner, found.attempt, found.bytes) == (owner, "ba9876543210", 3)


@pytest.mark.parametrize("key", ["logo.png", "a/1024.jpg", "a/0123456789AB/1.jpg", "a/0123456789ab/readme", "/1/2.jpg"])
def test_what_the_pipeline_never_writes_is_foreign(key: str) -> None:
    compared = Comparison()
    compared.add_output("resized", key, 3, 6)
    assert (compared.foreign, compared.outputs, list(compared.unlisted())) == (1, 0, [])


def test_a_hash_is_known_by_the_long_key_behind_it() -> None:
    compared, long = Comparison(), "é" * 400
    compared.add_object(long, "v", 5)
    compared.add_object("short", "v", 5)
    assert compared.behind(hashlib.sha256(long.encode()).hexdigest()) == long
    assert compared.behind(hashlib.sha256(b"short").hexdigest()) is None


def test_objects_without_versions_are_told_apart_by_content_and_date() -> None:
    same = identity(None, "e", "2026-01-31T12:00:00Z")
    assert same == identity("null", "e", "2026-01-31T12:00:00+00:00")
    assert same != identity("null", "e", "2026-01-31T12:00:01Z")
    assert same != identity("null", "f", "2026-01-31T12:00:00Z")
    assert identity("v", "e", "2026") == identity("v", "f", "2027") == "v"


def test_a_row_about_a_hidden_object_is_stale_only_when_the_object_is_newer() -> None:
    assert says(None, 10, "v", 9)
    assert not says(None, 10, "v", 11)
    assert not says("v", 10, None, None)
