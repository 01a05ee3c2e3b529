"""The only module of the function that talks to S3."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from image_pipeline.faults import TransientError, error_code, transient
from image_pipeline.record import ImageRecord, Output, Refusal, RefusedError, Source
from image_pipeline.renditions import Picture
from image_pipeline.settings import Settings
from image_pipeline.stream import Arriving

MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
# Archived, or encrypted with a key that only the customer holds: nothing that a permission could mend.
FORBIDDEN_FOR_GOOD = frozenset({"InvalidObjectState", "InvalidRequest", "400"})
FORBIDDEN_FOR_NOW = frozenset({"AccessDenied", "403"})  # and every error of KMS
LONGEST_KEY = 900  # S3 allows 1,024 bytes; the rest is for the attempt and the file's name.

_pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="put")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What S3 serves under the input key right now: one answer, so that version, metadata and bytes belong together.

    `refusal` is set where the object is there and may not be read; `passing` where that may change.
    """

    source: Source
    uploaded_at: str
    metadata: dict[str, str] = field(default_factory=dict)
    refusal: RefusedError | None = None
    passing: bool = False
    body: Any = None

    def is_in(self, record: ImageRecord | None) -> bool:
        """Whether the record was made of exactly this."""
        if record is None or record.source != self.source:
            return False
        if self.source.etag is None:  # not even HEAD is allowed: there is nothing more to compare
            return record.failure is not None and record.failure.code is Refusal.FORBIDDEN
        return record.uploaded_at == self.uploaded_at

    def arriving(self, most: int) -> Arriving:
        """The bytes as they come, none of them read yet; raises RefusedError where there are more than `most`.

        Reading raises TransientError where the connection breaks off or stalls, or S3's checksum is not theirs.
        """
        if self.refusal is not None:
            raise self.refusal
        size = self.source.bytes or 0
        if size > most:
            raise RefusedError(Refusal.TOO_LARGE, f"It has {size:,} bytes, and at most {most:,} are allowed.")
        return Arriving(self._read, size)

    def _read(self, most: int) -> bytes:
        with transient("Reading the object"):
            block: bytes = self.body.read(most)
        return block

    def close(self) -> None:
        """Drop the connection when the bytes were not wanted."""
        if self.body is not None:
            self.body.close()


class Storage:
    """The stack's three buckets. Every call names the account that must own the bucket."""

    def __init__(self, client: Any, settings: Settings) -> None:
        self._client = client
        self._input = settings.input_bucket
        self._resized = settings.resized_bucket
        self._thumbnails = settings.thumbnails_bucket
        self._owner = {"ExpectedBucketOwner": settings.account}

    def open(self, key: str) -> Served | None:
        """What S3 serves under `key`, its bytes not yet read; None where there is no image. Raises TransientError."""
        answer, code = self._ask(self._client.get_object, "GetObject", key)
        if code is None:
            return self._served(key, answer)
        # What may not be read may often still be looked at, and the row should say which version it is about.
        found = self.look(key)
        refusal = RefusedError(Refusal.FORBIDDEN, f"S3 answered {code}.")
        return found and replace(found, refusal=refusal, passing=code not in FORBIDDEN_FOR_GOOD)

    def look(self, key: str) -> Served | None:
        """What S3 serves under `key`, without its bytes; None where there is no image. Raises TransientError."""
        answer, code = self._ask(self._client.head_object, "HeadObject", key)
        if code is None:
            return self._served(key, answer)
        return Served(source=self._source(key), uploaded_at=iso(datetime.now(UTC)))

    def _ask(self, call: Any, operation: str, key: str) -> tuple[dict[str, Any] | None, str | None]:
        """S3's answer, None for a missing object; or the code with which S3 forbids it."""
        with transient(operation):
            try:
                return call(Bucket=self._input, Key=key, **self._owner), None
            except ClientError as error:
                code = error_code(error)
                if code in MISSING:
                    return None, None
                if code in FORBIDDEN_FOR_GOOD | FORBIDDEN_FOR_NOW or code.startswith("KMS."):
                    return None, code
                raise

    def _source(self, key: str, **known: Any) -> Source:
        return Source(bucket=self._input, key=key, uri=f"s3://{self._input}/{key}", **known)

    def _served(self, key: str, answer: dict[str, Any] | None) -> Served | None:
        if answer is None or (key.endswith("/") and answer["ContentLength"] == 0):
            return None  # the latter is a folder marker, as consoles make them
        return Served(
            source=self._source(
                key,
                version_id=answer.get("VersionId"),
                etag=answer["ETag"].strip('"'),
                bytes=answer["ContentLength"],
            ),
            uploaded_at=iso(answer["LastModified"]),
            metadata=answer.get("Metadata", {}),
            body=answer.get("Body"),
        )

    def place(self, key: str, attempt: str, picture: Picture, *, thumbnail: bool = False) -> Output:
        """Where one attempt's picture will lie. No two attempts share a key, so an URL never changes its content."""
        bucket = self._thumbnails if thumbnail else self._resized
        tail = f"/{attempt}/{picture.name}.{picture.extension}"
        name = key if len(key.encode()) + len(tail) <= LONGEST_KEY else hashlib.sha256(key.encode()).hexdigest()
        return Output(
            name=picture.name,
            width=picture.width,
            height=picture.height,
            bytes=len(picture.data),
            format=picture.format,
            content_type=picture.content_type,
            bucket=bucket,
            key=name + tail,
            uri=f"s3://{bucket}/{name}{tail}",
        )

    def put(self, outputs: Iterable[tuple[Output, bytes]]) -> None:
        """Write all outputs side by side; raises TransientError when any failed, after all have ended."""
        sent = [_pool.submit(self._put, output, data) for output, data in outputs]
        failures = [error for one in sent if (error := one.exception()) is not None]
        if failures:
            raise failures[0]

    def _put(self, output: Output, data: bytes) -> None:
        with transient("PutObject"):
            self._client.put_object(
                Bucket=output.bucket,
                Key=output.key,
                Body=data,
                ContentType=output.content_type,
                CacheControl="public, max-age=31536000, immutable",
                **self._owner,
            )

    def remove(self, outputs: Iterable[Output]) -> list[Output]:
        """Delete outputs that no row lists any more; returns those that could not be deleted."""
        left = []
        for output in outputs:
            try:
                with transient("DeleteObject"):
                    self._client.delete_object(Bucket=output.bucket, Key=output.key, **self._owner)
            except TransientError:
                left.append(output)
        return left


def iso(time: datetime) -> str:
    """ISO-8601 in UTC, to the millisecond where there are any."""
    time = time.astimezone(UTC)
    return time.isoformat(timespec="milliseconds" if time.microsecond else "seconds").replace("+00:00", "Z")
