"""The record of one image: what DynamoDB holds and what `imgpipe meta` prints."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from enum import StrEnum
from typing import Any

SHARDS = 8
"""Every index is spread over this many partitions, so that one busy day or user is not one hot partition."""


class Status(StrEnum):
    """What became of an image. A deleted object has no row, so there is no status for it."""

    READY = "READY"
    FAILED = "FAILED"


class Refusal(StrEnum):
    """Why an image cannot be processed, however often it is tried."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    UNSUPPORTED_TYPE = "unsupported_type"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_SCANS = "too_many_scans"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    METADATA_TOO_LARGE = "metadata_too_large"
    FORBIDDEN = "forbidden"
    CRASHED = "crashed"

    @property
    def sentence(self) -> str:
        """The refusal in words, for people."""
        return _SENTENCES[self]


_SENTENCES = {
    Refusal.EMPTY: "The object has no bytes.",
    Refusal.TOO_LARGE: "The file is larger than the pipeline accepts.",
    Refusal.UNSUPPORTED_TYPE: "The bytes are not an image of a supported format.",
    Refusal.TOO_MANY_PIXELS: "The picture has more pixels than the pipeline decodes.",
    Refusal.TOO_MANY_SCANS: "The progressive JPEG has more scans than any camera or editor writes.",
    Refusal.TRUNCATED: "The file ends before the picture does.",
    Refusal.CORRUPT: "The file is damaged and cannot be decoded.",
    Refusal.METADATA_TOO_LARGE: "The metadata inside the file is larger than the pipeline reads.",
    Refusal.FORBIDDEN: "The function may not read the object.",
    Refusal.CRASHED: "The worker did not survive the last of its attempts.",
}


class RefusedError(Exception):
    """An image that no retry will make acceptable.

    `detail` says what was found and what is allowed ("72.3 MP, at most 50 MP"); it is appended to the sentence.
    """

    def __init__(self, code: Refusal, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        super().__init__(self.reason)

    @property
    def reason(self) -> str:
        return f"{self.code.sentence} {self.detail}".strip()


def shard(image_key: str) -> int:
    """The index partition, 0 to SHARDS - 1, that a key's row belongs to."""
    return hashlib.sha256(image_key.encode()).digest()[0] % SHARDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The input object as S3 served it: `version_id` and `etag` identify the bytes that were processed."""

    bucket: str
    key: str
    uri: str
    version_id: str | None = None
    etag: str | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One picture that was made and where it lies. `format` is a lower-case name such as "jpeg"."""

    name: str
    width: int
    height: int
    bytes: int
    format: str
    content_type: str
    bucket: str
    key: str
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there are no renditions: a code for programs, a sentence for people."""

    code: Refusal
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One row, keyed by `image_key` (the object key, opaque).

    `width` and `height` are as displayed, after orientation. `uploaded_at` and `processed_at` are ISO-8601 UTC.
    `revision` changes with every write and is what the commit compares. There are no floats anywhere.
    """

    image_key: str
    status: Status
    file_name: str
    user: str
    uploaded_at: str
    source: Source
    recipe: str
    revision: str
    processed_at: str
    request_id: str
    format: str | None = None
    content_type: str | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    frames: int | None = None
    sha256: str | None = None
    renditions: tuple[Output, ...] = ()
    thumbnail: Output | None = None
    exif: Mapping[str, str | int] = field(default_factory=dict)
    dominant_colour: str | None = None
    notes: tuple[str, ...] = ()
    failure: Failure | None = None
    timings_ms: Mapping[str, int] = field(default_factory=dict)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Everything this row owns in the output buckets."""
        return (*self.renditions, *((self.thumbnail,) if self.thumbnail else ()))

    def to_json(self) -> dict[str, Any]:
        """The record as `imgpipe meta --json` prints it.

        Absent facts are absent, except `thumbnail` and `failure`, which are null: their absence is an answer.
        """
        return {
            name: _plain(value)
            for name in _JSON_ORDER
            if (value := getattr(self, name)) is not None or name in ("thumbnail", "failure")
        }

    def to_item(self) -> dict[str, Any]:
        """The record as a DynamoDB item in plain Python types, with the sharded index attributes."""
        number = shard(self.image_key)
        item = self.to_json()
        item["by_user"] = f"{self.user}#{number}"
        item["by_day"] = f"{self.uploaded_at[:10]}#{number}"
        if self.status is Status.FAILED:
            item["failed"] = f"FAILED#{number}"
        return item

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> ImageRecord:
        """The record from a DynamoDB item in plain Python types; unknown attributes are ignored."""
        known = {name: _integers(item[name]) for name in _JSON_ORDER if item.get(name) is not None}
        known["status"] = Status(known["status"])
        known["source"] = Source(**known["source"])
        known["renditions"] = tuple(Output(**one) for one in known.get("renditions", ()))
        known["notes"] = tuple(known.get("notes", ()))
        if "thumbnail" in known:
            known["thumbnail"] = Output(**known["thumbnail"])
        if "failure" in known:
            known["failure"] = Failure(code=Refusal(known["failure"]["code"]), reason=known["failure"]["reason"])
        return cls(**known)


_JSON_ORDER = (
    *("image_key", "status", "file_name", "user", "uploaded_at", "source", "format", "content_type", "width", "height"),
    *("mode", "frames", "sha256", "renditions", "thumbnail", "exif", "dominant_colour", "notes", "failure", "recipe"),
    *("revision", "processed_at", "timings_ms", "request_id"),
)


def _plain(value: Any) -> Any:
    """Dataclasses, enums and tuples as the types that JSON and DynamoDB know."""
    if isinstance(value, Source | Output | Failure):
        return {one.name: _plain(inner) for one in fields(value) if (inner := getattr(value, one.name)) is not None}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, StrEnum):
        return value.value
    return dict(value) if isinstance(value, Mapping) else value


def _integers(value: Any) -> Any:
    """DynamoDB's Decimals as the integers they are: the record has no other numbers."""
    if isinstance(value, Decimal):
        return int(value)
    if isinstance(value, Mapping):
        return {name: _integers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_integers(one) for one in value]
    return value
