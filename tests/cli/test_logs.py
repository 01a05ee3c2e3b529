"""The tail: nothing lost, nothing twice, whatever order CloudWatch shows things in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from imgpipe.errors import ImgpipeError
from imgpipe.logs import OVERLAP_MS, Line, Selection, follow, parse_since, read

NOW = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp() * 1000)


class Group:
    """A log group whose events become visible late: each is (visible from this look on, event)."""

    def __init__(self, events: list[tuple[int, dict[str, Any]]], page: int = 2) -> None:
        self.events, self.page, self.looks, self.starts = events, page, 0, []

    def fetch(self, start: int, token: str | None) -> Mapping[str, Any]:
        if token is None:
            self.looks += 1
            self.starts.append(start)
        visible = [event for look, event in self.events if look <= self.looks and event["timestamp"] >= start]
        visible.sort(key=lambda event: event["timestamp"])
        at = int(token or 0)
        answer: dict[str, Any] = {"events": visible[at : at + self.page]}
        if at + self.page < len(visible):
            answer["nextToken"] = str(at + self.page)
        return answer


class Enough(Exception):
    """Ends a tail that follows."""


def followed(group: Group, looks: int, start: int = 0) -> list[str]:
    def pause(_: float) -> None:
        if group.looks >= looks:
            raise Enough

    lines: list[str] = []
    with suppress(Enough):
        for line in follow(group.fetch, start, trouble=lambda _: None, pause=pause):
            lines.append(line.message)
    return lines


def event(message: str, at: int, stream: str = "a", event_id: str | None = None) -> dict[str, Any]:
    found = {"message": message, "timestamp": NOW + at, "logStreamName": stream}
    return found | ({"eventId": event_id} if event_id else {})


@pytest.mark.parametrize("ids", [True, False])
def test_late_and_same_millisecond_events_are_each_shown_once(ids: bool) -> None:
    group = Group(
        [
            (1, event("first", 0, "a", "1" if ids else None)),
            (2, event("same millisecond", 0, "b", "2" if ids else None)),
            (2, event("late", -500, "a", "3" if ids else None)),
            (3, event("later", 2000, "a", "4" if ids else None)),
        ]
    )
    assert followed(group, 5) == ["first", "late", "same millisecond", "later"]


def test_two_equal_lines_of_one_millisecond_are_two_lines() -> None:
    twins = [(1, event("again", 0)), (1, event("again", 0)), (2, event("again", 0))]
    assert followed(Group(twins), 4) == ["again", "again", "again"]


def test_each_look_goes_back_no_further_than_the_overlap() -> None:
    group = Group([(1, event("old", -3_600_000)), (1, event("new", 0))])
    followed(group, 3, start=NOW - 7_200_000)
    assert group.starts == [NOW - 7_200_000, NOW - OVERLAP_MS, NOW - OVERLAP_MS]


def test_a_clock_that_runs_ahead_does_not_hide_what_comes_after() -> None:
    ahead = int(datetime.now(UTC).timestamp() * 1000) - NOW
    group = Group([(1, event("tomorrow", ahead + 86_400_000)), (2, event("now", ahead))])
    assert followed(group, 3) == ["tomorrow", "now"]


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(-29_000, 0), st.sampled_from("ab"), st.sampled_from("xyz")),
        max_size=30,
    ),
    st.integers(1, 5),
)
def test_whatever_comes_within_the_overlap_comes_exactly_once(
    arrivals: list[tuple[int, int, str, str]], page: int
) -> None:
    group = Group([(look, event(text, at, stream)) for look, at, stream, text in arrivals], page)
    assert sorted(followed(group, 6)) == sorted(text for *_, text in arrivals)


def test_a_look_reads_every_page_and_ends() -> None:
    group = Group([(1, event(str(number), number)) for number in range(7)], page=3)
    assert [found.message for found in read(group.fetch, 0)] == [str(number) for number in range(7)]


def test_a_page_is_read_when_the_one_before_is_used_up() -> None:
    asked: list[str | None] = []

    def fetch(start: int, token: str | None) -> Mapping[str, Any]:
        asked.append(token)
        return {"events": [event(str(start), len(asked))], "nextToken": str(len(asked))}

    lines = read(fetch, 7)
    assert [next(lines).message, asked] == ["7", [None]]
    assert [next(lines).message, asked] == ["7", [None, "1"]]


def refusal(code: str, status: int) -> ClientError:
    answer = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "FilterLogEvents")


def test_a_tail_outlives_looks_that_fail_and_repeats_and_loses_nothing() -> None:
    group = Group([(1, event(text, at)) for at, text in enumerate("abc")], page=1)
    failures = [refusal("ThrottlingException", 400), EndpointConnectionError(endpoint_url="http://127.0.0.1:1")]
    told: list[Exception] = []
    pauses: list[float] = []

    def fetch(start: int, token: str | None) -> Mapping[str, Any]:
        if token == "2" and failures:
            raise failures.pop(0)
        return group.fetch(start, token)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            raise Enough

    lines: list[str] = []
    with suppress(Enough):
        for one in follow(fetch, 0, trouble=told.append, pause=pause):
            lines.append(one.message)
    assert lines == ["a", "b", "c"]
    assert len(told) == 2
    assert pauses == [2, 4, 1, 1]


@pytest.mark.parametrize("error", [refusal("AccessDeniedException", 400), refusal("ExpiredTokenException", 400)])
def test_a_tail_ends_where_asking_again_cannot_help(error: ClientError) -> None:
    def fetch(*_: Any) -> Mapping[str, Any]:
        raise error

    with pytest.raises(ClientError):
        next(follow(fetch, 0, trouble=lambda _: None, pause=lambda _: None))


def line(message: str) -> Line:
    return next(read(Group([(1, event(message, 0))]).fetch, 0))


def takes(selection: Selection, message: str) -> bool:
    return list(selection.of([line(message)])) != []


def platform(kind: str, status: str = "", request: str = "1") -> str:
    """A line of Lambda itself, in the JSON format."""
    record = {"requestId": request} | ({"status": status} if status else {})
    return json.dumps({"time": "2026-01-31T12:00:00.000Z", "type": kind, "record": record})


def test_a_key_is_compared_after_the_json_is_decoded() -> None:
    chosen = Selection(key='a "quoted"\nkey é')
    assert takes(chosen, json.dumps({"image_key": 'a "quoted"\nkey é', "message": "x"}))
    assert not takes(chosen, json.dumps({"image_key": 'a "quoted"\nkey', "message": "x"}))
    assert not takes(chosen, 'image_key: a "quoted"\nkey é')


def test_metrics_and_the_runtime_s_own_lines_are_shown_on_request_only() -> None:
    plumbing = ['{"_aws": {}, "ImagesReady": 1}', "START RequestId: 1", "REPORT RequestId: 1 Duration: 3 ms"]
    for message in (*plumbing, platform("platform.report", "success"), platform("platform.start")):
        assert not takes(Selection(), message)
        assert takes(Selection(plumbing=True), message)


def test_errors_are_warnings_errors_and_what_the_runtime_says_of_a_crash() -> None:
    wanted = ['{"level": "ERROR"}', '{"level": "WARNING"}', "2026 1 Task timed out after 60.00 seconds"]
    wanted += ["REPORT RequestId: 1 Duration: 60000 ms Status: timeout"]
    wanted += [platform("platform.report", status) for status in ("timeout", "error", "failure")]
    assert all(takes(Selection(errors=True), message) for message in wanted)
    assert not takes(Selection(errors=True), '{"level": "INFO"}')
    assert not takes(Selection(errors=True), "hello")
    assert not takes(Selection(errors=True), platform("platform.report", "success"))


def test_what_lambda_says_of_a_timeout_is_shown_as_an_error() -> None:
    for message in (platform("platform.report", "timeout"), "REPORT RequestId: 1 Duration: 60000 ms Status: timeout"):
        assert line(message).level == "ERROR"
        assert takes(Selection(), message)


def test_an_image_s_lines_include_how_its_invocations_ended() -> None:
    mine, other = "11111111-aaaa-4bbb-8ccc-000000000001", "22222222-aaaa-4bbb-8ccc-000000000002"
    lines = [
        line(f"START RequestId: {mine} Version: $LATEST"),
        line(platform("platform.report", "timeout", other)),
        line(json.dumps({"image_key": "a.jpg", "request_id": mine, "message": "Received"})),
        line(json.dumps({"image_key": "b.jpg", "request_id": mine, "message": "Received"})),
        line(f"2026-01-31T12:00:00Z {mine} Task timed out after 60.00 seconds"),
        line(f"2026-01-31T12:00:00Z {other} Task timed out after 60.00 seconds"),
        line(platform("platform.report", "timeout", mine)),
        line(f"END RequestId: {mine}"),
    ]
    assert list(Selection(key="a.jpg").of(lines)) == [lines[2], lines[4], lines[6]]
    assert list(Selection(key="a.jpg", errors=True).of(lines)) == [lines[4], lines[6]]
    assert list(Selection(key="a.jpg", plumbing=True).of(lines)) == [lines[0], lines[2], *lines[4:5], *lines[6:]]
    late = [lines[6], lines[2]]
    assert list(Selection(key="a.jpg").of(late)) == late


def test_json_that_is_no_object_is_text() -> None:
    for text in ("{broken", "[1]", '"x"'):
        assert line(text).data is None
        assert line(text).to_json()["message"] == text


@pytest.mark.parametrize(
    ("text", "ago"), [("90s", timedelta(seconds=90)), ("10m", timedelta(minutes=10)), ("7d", timedelta(days=7))]
)
def test_since_takes_a_duration(text: str, ago: timedelta) -> None:
    now = datetime.now(UTC)
    assert parse_since(text, now) == now - ago


def test_since_takes_a_time_and_reads_it_as_utc() -> None:
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    for text in ("2026-01-31T12:00", "2026-01-31T12:00:00Z", "2026-01-31T13:00+01:00"):
        assert parse_since(text, moment) == moment


@pytest.mark.parametrize("text", ["", "10", "m", "10 minutes", "-5m", "noon"])
def test_since_refuses_the_rest(text: str) -> None:
    with pytest.raises(ImgpipeError, match="--since"):
        parse_since(text, datetime.now(UTC))


def test_the_longest_duration_begins_with_time_itself() -> None:
    assert parse_since("999999999d", datetime.now(UTC)).year == 1970
