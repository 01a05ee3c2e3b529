"""Table, bucket and outputs read once from beginning to end, page by page, into a comparison."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from imgpipe import catalog
from imgpipe.aws import Clients
from imgpipe.comparison import Comparison, Glance, identity
from imgpipe.images import is_folder
from imgpipe.stack.names import StackOutputs


def take(clients: Clients, names: StackOutputs, compared: Comparison, progress: Callable[[str], None]) -> float:
    """Read everything into `compared`; `progress` is told how far and how fast.

    Returns by how many seconds the clock that dates objects is ahead of ours.
    """
    s3, about, ahead = clients["s3"], catalog.count(clients, names.table), 0.0
    pace = _Pace("rows", about)
    for page in _one_ahead(_scan(clients, names.table)):
        for item in page["Items"]:
            compared.add_row(_glance(item))
        progress(pace.so_far(compared.rows))
    pace = _Pace("objects", about)
    for page in _one_ahead(s3.get_paginator("list_object_versions").paginate(Bucket=names.input_bucket)):
        ahead = _ahead(page)
        for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            if one["IsLatest"]:
                compared.add_object(one["Key"], _listed(one), one["LastModified"].timestamp())
        progress(pace.so_far(compared.objects))
    pace = _Pace("outputs", compared.listed)
    for bucket in (names.resized_bucket, names.thumbnails_bucket):
        for page in _one_ahead(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)):
            for one in page.get("Contents", ()):
                compared.add_output(bucket, one["Key"], one["Size"], one["LastModified"].timestamp())
            progress(pace.so_far(compared.outputs))
    compared.finish()
    return ahead


def _ahead(page: Mapping[str, Any]) -> float:
    said = page["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(said).timestamp() - time.time() if said else 0.0


def _scan(clients: Clients, table: str) -> Iterable[Mapping[str, Any]]:
    pages: Iterable[Mapping[str, Any]] = (
        clients["dynamodb"]
        .get_paginator("scan")
        .paginate(
            TableName=table,
            ConsistentRead=True,
            ProjectionExpression="image_key, #source, uploaded_at, processed_at, renditions, thumbnail",
            ExpressionAttributeNames={"#source": "source"},
        )
    )
    return pages


@dataclass(slots=True)
class _Pace:
    """How far a walk has come, in words."""

    what: str
    about: int
    _began: float = field(default_factory=time.monotonic)

    def so_far(self, done: int) -> str:
        rate = done / max(time.monotonic() - self._began, 0.001)
        total = f" of about {self.about:,}" if self.about > done else ""
        return f"Comparing {self.what}: {done:,}{total}, {rate:,.0f}/s"


def _one_ahead(pages: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The pages, the next one fetched while one is worked on."""
    rest = iter(pages)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, rest, None)
        while (page := coming.result()) is not None:
            coming = pool.submit(next, rest, None)
            yield page


def _glance(item: Mapping[str, Any]) -> Glance:
    """A row as the table sends it; turning every one into a record would take longer than reading them."""
    source = {name: value.get("S") for name, value in item.get("source", {}).get("M", {}).items()}
    outputs = [one["M"] for one in (*item.get("renditions", {}).get("L", ()), item.get("thumbnail", {})) if "M" in one]
    return Glance(
        item["image_key"]["S"],
        identity(source.get("version_id"), source["etag"], item["uploaded_at"]["S"]) if source.get("etag") else None,
        seconds(item["processed_at"]["S"]) if "processed_at" in item else 0.0,
        tuple((one["bucket"]["S"], one["key"]["S"]) for one in outputs),
    )


def _listed(entry: Mapping[str, Any]) -> str | None:
    """The identity of an entry of ListObjectVersions; None for a delete marker and for what has no row anyway."""
    if "ETag" not in entry or is_folder(entry["Key"], {"ContentLength": entry["Size"]}):
        return None
    return served(entry)


def served(answer: Mapping[str, Any]) -> str:
    """The identity of what S3 serves, from its answer to HeadObject or an entry of ListObjectVersions."""
    modified = answer["LastModified"].astimezone(UTC).isoformat()
    return identity(answer["VersionId"], answer["ETag"].strip('"'), modified)


def seconds(moment: str) -> float:
    """A moment of ISO-8601 in seconds since 1970."""
    return datetime.fromisoformat(moment).timestamp()
