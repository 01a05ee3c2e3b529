"""Listings against a real table: order, pages, tokens, filters."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer

from image_pipeline.record import Failure, ImageRecord, Refusal, Source, Status
from imgpipe import catalog
from imgpipe.aws import Clients
from imgpipe.catalog import Query
from imgpipe.errors import ImgpipeError

NOW = datetime.now(UTC).replace(microsecond=0)


def record(key: str, *, ago: timedelta = timedelta(), user: str = "ada", failed: bool = False) -> ImageRecord:
    at = (NOW - ago).strftime("%Y-%m-%dT%H:%M:%SZ")
    return ImageRecord(
        image_key=key,
        status=Status.FAILED if failed else Status.READY,
        file_name=key,
        user=user,
        uploaded_at=at,
        source=Source(bucket="in", key=key, uri=f"s3://in/{key}", version_id="1"),
        recipe="r",
        revision="1",
        processed_at=at,
        request_id="q",
        width=None if failed else 4,
        height=None if failed else 3,
        failure=Failure(code=Refusal.EMPTY, reason="The object has no bytes.") if failed else None,
    )


def index(name: str, time: str) -> dict[str, Any]:
    keys = [{"AttributeName": name, "KeyType": "HASH"}, {"AttributeName": time, "KeyType": "RANGE"}]
    return {"IndexName": name, "KeySchema": keys, "Projection": {"ProjectionType": "ALL"}}


@pytest.fixture
def table(clients: Clients) -> Iterator[str]:
    name = f"images-{uuid.uuid4().hex[:8]}"
    attributes = ("image_key", "by_user", "by_day", "failed", "uploaded_at", "processed_at")
    clients["dynamodb"].create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in attributes],
        KeySchema=[{"AttributeName": "image_key", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            index("by_user", "uploaded_at"),
            index("by_day", "uploaded_at"),
            index("failed", "processed_at"),
        ],
    )
    yield name
    clients["dynamodb"].delete_table(TableName=name)


def put(clients: Clients, table: str, *records: ImageRecord) -> None:
    serialize = TypeSerializer().serialize
    for one in records:
        item = {name: serialize(value) for name, value in one.to_item().items()}
        clients["dynamodb"].put_item(TableName=table, Item=item)


def listed(clients: Clients, table: str, query: Query, limit: int) -> list[str]:
    """The keys of all pages, following the tokens."""
    page = catalog.page(clients, table, query, limit)
    keys = [entry.image_key for entry in page.entries]
    while page.next:
        page = catalog.page(clients, table, Query(), limit, page.next)
        assert len(page.entries) <= limit
        keys += [entry.image_key for entry in page.entries]
    return keys


@pytest.fixture(params=[catalog.SMALL, 1], ids=["read at once", "day by day"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is small, and then one that is not."""
    monkeypatch.setattr(catalog, "SMALL", request.param)


def test_a_row_comes_back_as_the_record_that_was_put(clients: Clients, table: str) -> None:
    put(clients, table, record("a", failed=True))
    assert catalog.row(clients, table, "a") == record("a", failed=True)
    assert catalog.row(clients, table, "b") is None


def test_many_rows_are_read_at_once_and_missing_ones_left_out(clients: Clients, table: str) -> None:
    records = [record(f"{n}.jpg") for n in range(130)]
    put(clients, table, *records)
    assert catalog.rows(clients, table, [*(one.image_key for one in records), "nope"]) == {
        one.image_key: one for one in records
    }


class Busy:
    """Stands for a table that has no capacity for the first `refusals` questions, which the engine never lacks."""

    def __init__(self, refusals: int) -> None:
        self.refusals, self.asked = refusals, 0

    def __getitem__(self, service: str) -> Any:
        return self

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        return {"Responses": {}, "UnprocessedKeys": RequestItems if self.asked <= self.refusals else {}}


def test_a_busy_table_is_asked_again_after_longer_and_longer_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("imgpipe.catalog.time.sleep", pauses.append)
    assert catalog.rows(Busy(4), "table", ["a", "b"]) == {}  # type: ignore[arg-type]
    assert pauses == [0.05, 0.1, 0.2, 0.4]


def test_a_table_that_stays_busy_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgpipe.catalog.time.sleep", lambda _: None)
    busy = Busy(1000)
    with pytest.raises(ImgpipeError) as caught:
        catalog.rows(busy, "table", ["a"])  # type: ignore[arg-type]
    assert caught.value.code == "throttled"
    assert busy.asked < 20


@pytest.mark.usefixtures("small")
def test_images_are_listed_newest_first_over_days_and_shards(clients: Clients, table: str) -> None:
    records = [record(f"{hours:03}", ago=timedelta(hours=hours)) for hours in range(0, 100, 7)]
    put(clients, table, *reversed(records))
    expected = [one.image_key for one in records]
    assert listed(clients, table, Query(), 100) == expected
    assert listed(clients, table, Query(), 4) == expected


@pytest.mark.usefixtures("small")
def test_images_of_one_second_are_each_on_one_page(clients: Clients, table: str) -> None:
    put(clients, table, *(record(f"{n:02}") for n in range(23)))
    assert listed(clients, table, Query(), 5) == [f"{n:02}" for n in reversed(range(23))]


@pytest.mark.usefixtures("small")
def test_a_token_stays_good_while_images_come_and_go(clients: Clients, table: str) -> None:
    put(clients, table, *(record(f"{n}", ago=timedelta(minutes=n)) for n in range(1, 7)))
    page = catalog.page(clients, table, Query(), 3)
    put(clients, table, record("new"))
    for key in ("3", "5"):
        clients["dynamodb"].delete_item(TableName=table, Key={"image_key": {"S": key}})
    rest = catalog.page(clients, table, Query(), 3, page.next)
    assert [entry.image_key for entry in (*page.entries, *rest.entries)] == ["1", "2", "3", "4", "6"]
    assert rest.next is None


@pytest.mark.usefixtures("small")
def test_a_small_table_is_shown_to_its_end(clients: Clients, table: str) -> None:
    put(clients, table, record("new"), record("old", ago=timedelta(days=400)))
    assert catalog.page(clients, table, Query(), 10).next is None
    assert listed(clients, table, Query(), 1) == ["new", "old"]


def test_in_a_large_table_what_is_older_is_tokens_away(
    clients: Clients, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "LOOK_BACK", 3)
    monkeypatch.setattr("imgpipe.catalog._Walk._rest", lambda *_: None)
    put(clients, table, record("new"), record("old", ago=timedelta(days=5)))
    first = catalog.page(clients, table, Query(), 10)
    second = catalog.page(clients, table, Query(), 10, first.next)
    assert [entry.image_key for entry in first.entries] == ["new"]
    assert [entry.image_key for entry in second.entries] == ["old"]


@pytest.mark.usefixtures("small")
def test_filters_narrow_and_a_token_remembers_them(clients: Clients, table: str) -> None:
    put(
        clients,
        table,
        record("x/1", user="ada"),
        record("x/2", user="bob", failed=True),
        record("y/3", user="ada", ago=timedelta(days=2)),
        record("y/4", user="ada", ago=timedelta(days=3), failed=True),
    )
    day = (NOW - timedelta(days=2)).date()
    that_day = Query(since=day.isoformat(), until=(day + timedelta(days=1)).isoformat())
    assert listed(clients, table, Query(user="ada"), 2) == ["x/1", "y/3", "y/4"]
    assert listed(clients, table, Query(failed=True), 1) == ["x/2", "y/4"]
    assert listed(clients, table, Query(prefix="y/"), 1) == ["y/3", "y/4"]
    assert listed(clients, table, that_day, 10) == ["y/3"]
    recent = (NOW - timedelta(days=2, hours=1)).strftime("%Y-%m-%dT%H:%M:%S")
    assert listed(clients, table, Query(user="ada", since=recent), 10) == ["x/1", "y/3"]
    assert catalog.count_failed(clients, table) == 2


def test_an_empty_table_has_one_empty_page(clients: Clients, table: str) -> None:
    assert catalog.page(clients, table, Query(), 10) == catalog.Page((), None)


@pytest.mark.parametrize("token", ["x", "bnVsbA", "W3sibm9wZSI6MX0sbnVsbF0", "ä"])
def test_a_token_that_ls_never_gave_is_a_usage_error(clients: Clients, table: str, token: str) -> None:
    with pytest.raises(ImgpipeError) as caught:
        catalog.page(clients, table, Query(), 10, token)
    assert caught.value.status == 2
