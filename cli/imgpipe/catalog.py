"""Questions to the table: one row, many rows, and the images of a day, of a user or that failed, newest first."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from image_pipeline.attributes import plain
from image_pipeline.record import SHARDS, ImageRecord, Status
from imgpipe.aws import Clients
from imgpipe.errors import ImgpipeError, usage

LOOK_BACK = 31
"""Days that a listing of a large table goes back before it offers a token to look further."""

SMALL = 500
"""Images that are read at once rather than day by day: as many as cost no more than two days without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which images: at most one of `user` and `failed`, then `since` <= time < `until` (ISO-8601, UTC) and `prefix`.

    The time is the upload's; of failed images, it is when they failed.
    """

    user: str | None = None
    failed: bool = False
    since: str | None = None
    until: str | None = None
    prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An image as the indexes know it."""

    image_key: str
    status: str
    uploaded_at: str
    width: int | None
    height: int | None
    format: str | None
    user: str


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, newest first, and the token of what follows (None at the end)."""

    entries: tuple[Entry, ...]
    next: str | None


_TRIES, _FIRST_PAUSE = 7, 0.05  # 6 seconds in all


def row(clients: Clients, table: str, key: str) -> ImageRecord | None:
    """The record of one image as the table holds it now; None when there is no row."""
    response = clients["dynamodb"].get_item(TableName=table, Key={"image_key": {"S": key}}, ConsistentRead=True)
    return _record(response["Item"]) if "Item" in response else None


def rows(clients: Clients, table: str, keys: Sequence[str]) -> dict[str, ImageRecord]:
    """The records of those keys that have a row now, by key. Raises `throttled` when DynamoDB goes on refusing."""
    found: dict[str, ImageRecord] = {}
    # DynamoDB answers for at most 100 keys at once, and may leave some of them for the next question.
    waiting = [{"image_key": {"S": key}} for key in keys]
    refused = 0
    while waiting:
        batch, waiting = waiting[:100], waiting[100:]
        asked = {table: {"Keys": batch, "ConsistentRead": True}}
        response = clients["dynamodb"].batch_get_item(RequestItems=asked)
        for record in map(_record, response["Responses"].get(table, ())):
            found[record.image_key] = record
        left = response.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
        waiting += left
        refused = refused + 1 if left else 0
        if left:
            if refused > _TRIES:
                raise ImgpipeError("throttled", f"DynamoDB has no capacity for the table {table}.", "imgpipe status")
            time.sleep(_FIRST_PAUSE * 2 ** (refused - 1))
    return found


def every_row(clients: Clients, table: str) -> Iterator[ImageRecord]:
    """All records, in no order, read page by page; one that is written meanwhile comes at most once."""
    for page in clients["dynamodb"].get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from map(_record, page["Items"])


def failed_rows(clients: Clients, table: str) -> Iterator[ImageRecord]:
    """The records of all images that failed and have not become ready since, read page by page."""
    # Newest first: one that fails again meanwhile moves to where the search has been, and is not found for ever.
    for page in _failed(clients, table, ScanIndexForward=False):
        keys = [item["image_key"]["S"] for item in page["Items"]]
        yield from (one for one in rows(clients, table, keys).values() if one.status is Status.FAILED)


def count(clients: Clients, table: str) -> int:
    """How many rows there are; AWS counts them every six hours."""
    return int(clients["dynamodb"].describe_table(TableName=table)["Table"]["ItemCount"])


def count_failed(clients: Clients, table: str) -> int:
    """How many images failed, from the sparse index."""
    return sum(page["Count"] for page in _failed(clients, table, Select="COUNT"))


def _failed(clients: Clients, table: str, **how: Any) -> Iterator[Mapping[str, Any]]:
    for number in range(SHARDS):
        yield from (
            clients["dynamodb"]
            .get_paginator("query")
            .paginate(
                TableName=table,
                IndexName="failed",
                KeyConditionExpression="failed = :p",
                ExpressionAttributeValues={":p": {"S": f"FAILED#{number}"}},
                **how,
            )
        )


def page(clients: Clients, table: str, query: Query, limit: int, after: str | None = None) -> Page:
    """The next `limit` images that `query` asks for, or that the query inside the token `after` does.

    A token stands for a place between two images, so it stays good whatever is uploaded or deleted meanwhile. In a
    table of more than a few thousand images, a search without a user, `failed` or `since` goes back LOOK_BACK days and
    leaves it to a token to go on.
    """
    place: _Place | None = None
    if after:
        query, place = _decode(after)
    walk = _Walk(clients, table, query, place)
    found = list(itertools.islice(walk, limit + 1))
    entries = tuple(entry for _, entry in found[:limit])
    if len(found) > limit:
        return Page(entries, _encode(query, found[limit - 1][0]))
    if walk.stopped_at:
        return Page(entries, _encode(replace(query, until=walk.stopped_at), None))
    return Page(entries, None)


_Place = tuple[str, str]
"""A time and a key: where an image stands in a listing."""


class _Walk:
    """Iterates places and entries, newest first, over whichever index serves the query."""

    def __init__(self, clients: Clients, table: str, query: Query, after: _Place | None) -> None:
        self._client, self._table, self._query, self._after = clients["dynamodb"], table, query, after
        self.stopped_at: str | None = None
        """The time to go on from, when the search ended before the table did."""

    def __iter__(self) -> Iterator[tuple[_Place, Entry]]:
        if self._query.failed:
            yield from self._merged("failed", "processed_at", "FAILED")
        elif self._query.user is not None:
            yield from self._merged("by_user", "uploaded_at", self._query.user)
        else:
            yield from self._days()

    def _days(self) -> Iterator[tuple[_Place, Entry]]:
        query, begin = self._query, self._after[0] if self._after else self._query.until
        # Without a beginning it is tomorrow: a clock that runs ahead of ours may have dated an upload so.
        day = date.fromisoformat(begin[:10]) if begin else datetime.now(UTC).date() + timedelta(days=1)
        last = date.fromisoformat(query.since[:10]) if query.since else day - timedelta(days=LOOK_BACK)
        for number in itertools.count():
            if day < last:
                break
            # One call for a table that is small. In a large one two days satisfy most listings, if it is a busy one.
            if number in (0, 2):
                rest = self._rest(day + timedelta(days=1), None if number else SMALL)
                if rest is not None:
                    yield from rest
                    return
            yield from self._merged("by_day", "uploaded_at", day.isoformat())
            day -= timedelta(days=1)
        if not query.since:
            self.stopped_at = (day + timedelta(days=1)).isoformat()

    def _rest(self, end: date, limit: int | None) -> list[tuple[_Place, Entry]] | None:
        """Everything wanted from before `end`, if one page of the index, of `limit` images, shows it all; else None."""
        page = {"Limit": limit} if limit else {}
        answer = self._client.scan(TableName=self._table, IndexName="by_day", **page)
        if "LastEvaluatedKey" in answer:
            return None
        items = [item for item in map(plain, answer["Items"]) if item["uploaded_at"] < end.isoformat()]
        found = (((item["uploaded_at"], item["image_key"]), _entry(item)) for item in items)
        since = self._query.since or ""
        return sorted((one for one in found if self._wants(*one) and one[0][0] >= since), key=_place, reverse=True)

    def _merged(self, index: str, time: str, value: str) -> Iterator[tuple[_Place, Entry]]:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(SHARDS) as pool:
            shards = list(pool.map(lambda shard: self._shard(index, time, f"{value}#{shard}"), range(SHARDS)))
        yield from (one for one in heapq.merge(*shards, key=_place, reverse=True) if self._wants(*one))

    def _wants(self, place: _Place, entry: Entry) -> bool:
        query, after = self._query, self._after
        before = (after is None or place < after) and (query.until is None or place[0] < query.until)
        return before and entry.image_key.startswith(query.prefix)

    def _shard(self, index: str, time: str, value: str) -> Iterator[tuple[_Place, Entry]]:
        """One partition of an index. Its first page is here already; most listings need no second."""
        since, until = self._query.since or "0", self._after[0] if self._after else self._query.until or "9"
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=index,
            KeyConditionExpression="#p = :p AND #t BETWEEN :since AND :until",
            ExpressionAttributeNames={"#p": index, "#t": time},
            ExpressionAttributeValues={":p": {"S": value}, ":since": {"S": since}, ":until": {"S": until}},
            ScanIndexForward=False,
        )
        rest = iter(pages)
        return _ordered(itertools.chain([next(rest)], rest), time)


def _place(found: tuple[_Place, Entry]) -> _Place:
    return found[0]


def _ordered(pages: Iterable[Mapping[str, Any]], time: str) -> Iterator[tuple[_Place, Entry]]:
    """The entries of one partition; those of one instant, which DynamoDB leaves in any order, by their keys."""
    items = (plain(item) for page in pages for item in page["Items"])
    for _, instant in itertools.groupby(items, key=lambda item: item[time]):
        for item in sorted(instant, key=lambda item: str(item["image_key"]), reverse=True):
            yield (item[time], item["image_key"]), _entry(item)


def _entry(item: Mapping[str, Any]) -> Entry:
    width, height = item.get("width"), item.get("height")
    return Entry(
        image_key=item["image_key"],
        status=item["status"],
        uploaded_at=item["uploaded_at"],
        width=None if width is None else int(width),
        height=None if height is None else int(height),
        format=item.get("format"),
        user=item["user"],
    )


def _record(item: Mapping[str, Any]) -> ImageRecord:
    return ImageRecord.from_item(plain(item))


def _encode(query: Query, after: _Place | None) -> str:
    import base64
    import json

    asked = {name: value for name, value in asdict(query).items() if value}
    text = json.dumps([asked, after], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(token: str) -> tuple[Query, _Place | None]:
    import base64
    import json

    try:
        asked, after = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return Query(**asked), (str(after[0]), str(after[1])) if after else None
    except (ValueError, TypeError, IndexError, KeyError):
        raise usage("The token after --next is not one that ls gave.", "imgpipe ls") from None
