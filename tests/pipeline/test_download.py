"""The bytes of one image on their way from S3: checked to the last, and no verdict where they do not come."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pictures
import pytest
from botocore.httpchecksum import Crc32Checksum, StreamingChecksumBody
from botocore.response import StreamingBody
from urllib3.exceptions import ProtocolError, ReadTimeoutError, SSLError

from image_pipeline.events import ImageEvent
from image_pipeline.faults import TransientError
from image_pipeline.record import Refusal, Status

if TYPE_CHECKING:
    from conftest import Bench


@cache
def photo(**options: Any) -> bytes:
    """A JPEG of some hundred KB, with something behind its picture."""
    return pictures.saved(pictures.noisy(1600, 1200), "JPEG", quality=90, **options) + b"a film" * 20_000


class Answering:
    """A client whose first answer to GetObject has another body: `body(bytes of the object)`."""

    def __init__(self, client: Any, body: Callable[[bytes], Any]) -> None:
        self._client, self._body = client, body
        self.bodies: list[Any] = []

    def get_object(self, **arguments: Any) -> Any:
        answer = self._client.get_object(**arguments)
        if not self.bodies:
            self.bodies.append(self._body(answer["Body"].read()))
            answer["Body"] = self.bodies[0]
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class Wire:
    """What botocore reads from: `error` after `data`."""

    def __init__(self, data: bytes, error: Exception | None = None) -> None:
        self._file, self._error, self.closed = BytesIO(data), error, False

    def read(self, most: int | None = None) -> bytes:
        block = self._file.read(most)
        if not block and self._error:
            raise self._error
        return block

    def close(self) -> None:
        self.closed = True


def event(bench: Bench, key: str) -> ImageEvent:
    return ImageEvent(bucket=bench.settings.input_bucket, key=key)


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["one scan", "progressive"])
def test_a_photo_is_ready_with_the_hash_of_all_its_bytes(bench: Bench, options: dict[str, Any]) -> None:
    key, data = bench.fresh_key(), photo(**options)
    bench.put(key, data)
    bench.worker().settle(event(bench, key))
    row = bench.row(key)
    assert row is not None
    assert (row.status, row.width, row.height) == (Status.READY, 1600, 1200)
    assert row.sha256 == sha256(data).hexdigest()
    assert list(row.timings_ms) == ["get", "decode", "resize", "encode", "put", "total"]
    # Nothing is counted twice, though some of it happens at once; each part is rounded.
    assert sum(row.timings_ms.values()) - row.timings_ms["total"] <= row.timings_ms["total"] + 3
    assert bench.is_conserved(key)


ENDS: dict[str, Callable[[], Exception | None]] = {
    "ends": lambda: None,
    "is reset": lambda: ProtocolError("Connection broken", ConnectionResetError(104, "reset")),
    "breaks in TLS": lambda: SSLError("bad record"),  # which botocore lets pass
    "stalls": lambda: ReadTimeoutError(None, "/key", "Read timed out."),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.8, 0.99999])
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["one scan", "progressive"])
def test_a_connection_that_fails_is_tried_again_and_leaves_nothing(
    bench: Bench, options: dict[str, Any], share: float, end: str
) -> None:
    key, data = bench.fresh_key(), photo(**options)
    bench.put(key, data)
    wire = Wire(data[: int(share * len(data))], ENDS[end]())
    worker = bench.worker(Answering(bench.clients["s3"], lambda data: StreamingBody(wire, len(data))))
    with pytest.raises(TransientError, match="Reading the object failed"):
        worker.settle(event(bench, key))
    assert wire.closed
    assert bench.row(key) is None
    assert bench.outputs(key) == set()
    assert worker.settle(event(bench, key)).what == "ready"
    assert bench.is_conserved(key)


@pytest.mark.parametrize(
    "place", [lambda data: data.index(b"\xff\xdb") + 4, lambda data: len(data) // 2, lambda data: len(data) - 1]
)
def test_bytes_that_were_changed_on_the_way_are_tried_again(bench: Bench, place: Callable[[bytes], int]) -> None:
    """Even where the change makes a damaged file of a good one: its checksum is known when the last byte has come."""
    key, data = bench.fresh_key(), photo()
    bench.put(key, data)
    at = place(data)
    wire = Wire(data[:at] + bytes((data[at] ^ 0x11,)) + data[at + 1 :])
    expected = b64encode(crc32(data).to_bytes(4, "big")).decode()
    worker = bench.worker(
        Answering(bench.clients["s3"], lambda data: StreamingChecksumBody(wire, len(data), Crc32Checksum(), expected))
    )
    with pytest.raises(TransientError, match="FlexibleChecksumError"):
        worker.settle(event(bench, key))
    assert bench.row(key) is None
    assert worker.settle(event(bench, key)).what == "ready"


def test_a_file_that_was_cut_before_it_was_uploaded_is_refused(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, photo()[:200_000])
    assert bench.worker().settle(event(bench, key)).what == "failed"
    row = bench.row(key)
    assert row is not None
    assert row.failure is not None
    assert row.failure.code is Refusal.TRUNCATED
    assert set(row.timings_ms) == {"get", "total"}


@pytest.mark.parametrize("data", [photo, lambda: photo()[:200_000], lambda: b"%PDF"], ids=["good", "cut", "no image"])
def test_the_connection_is_closed_whatever_comes(bench: Bench, data: Callable[[], bytes]) -> None:
    key = bench.fresh_key()
    bench.put(key, data())
    wire = Wire(data())
    bench.worker(Answering(bench.clients["s3"], lambda data: StreamingBody(wire, len(data)))).settle(event(bench, key))
    assert wire.closed
