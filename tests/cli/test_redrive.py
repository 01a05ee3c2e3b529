"""How SQS's own move of dead letters is started, watched and taken up again, where a target has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from imgpipe.errors import ImgpipeError
from imgpipe.redrive import Redrive
from imgpipe.stack.names import StackOutputs

NAMES = StackOutputs(
    input_bucket="i",
    resized_bucket="r",
    thumbnails_bucket="t",
    table="t",
    function="f",
    log_group="g",
    jobs_queue_url="jobs",
    dead_letter_queue_url="dlq",
    event_source_mapping="m",
    topic="t",
)


class Moving:
    """An SQS that moves messages by itself, which the embedded engine cannot; `answers` is what it says of the move."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers: Iterator[dict[str, Any]] = iter(answers)
        self.started: list[dict[str, Any]] = []

    def __getitem__(self, service: str) -> Moving:
        assert service == "sqs"
        return self

    def get_queue_attributes(self, **asked: Any) -> dict[str, Any]:
        return {"Attributes": {"QueueArn": f"arn:{asked['QueueUrl']}"}}

    def list_message_move_tasks(self, **_: Any) -> dict[str, Any]:
        answer = next(self.answers)
        if answer.get("Status") == "Ctrl-C":
            raise KeyboardInterrupt
        return {"Results": [answer] if answer else []}

    def start_message_move_task(self, **asked: Any) -> None:
        self.started.append(asked)


def move(status: str, moved: int = 0, **more: Any) -> dict[str, Any]:
    return {"Status": status, "ApproximateNumberOfMessagesMoved": moved, **more}


@pytest.fixture(autouse=True)
def no_failed_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgpipe.catalog.failed_rows", lambda *_: iter(()))
    monkeypatch.setattr("imgpipe.redrive._SHORTEST_PAUSE", 0.001)


def redrive(sqs: Moving) -> Redrive:
    clients: Any = sqs
    return Redrive(clients, NAMES)


@pytest.mark.parametrize("before", [{}, move("COMPLETED", 7)])
def test_everything_is_moved_to_the_jobs_queue_and_watched_to_the_end(before: dict[str, Any]) -> None:
    sqs = Moving(before, move("RUNNING", 3), move("COMPLETED", 9))
    work, seen = redrive(sqs), list[int]()
    work.run(seen.append)
    assert sqs.started == [{"SourceArn": "arn:dlq", "DestinationArn": "arn:jobs"}]
    assert (work.letters, work.native, seen[0]) == (9, True, 3)


def test_a_move_that_runs_already_is_watched_and_not_started_again() -> None:
    sqs = Moving(move("RUNNING", 3), move("RUNNING", 4), move("COMPLETED", 9))
    work = redrive(sqs)
    work.run(lambda _: None)
    assert (sqs.started, work.letters) == ([], 9)


def test_an_earlier_move_is_not_taken_for_the_one_that_was_started() -> None:
    earlier = move("COMPLETED", 7, StartedTimestamp=1)
    work = redrive(Moving(earlier, earlier, move("COMPLETED", 2, StartedTimestamp=2)))
    work.run(lambda _: None)
    assert work.letters == 2


def test_a_move_that_fails_says_why_and_how_far_it_came() -> None:
    work = redrive(Moving({}, move("FAILED", 2, FailureReason="CouldNotDetermineMessageSource")))
    with pytest.raises(ImgpipeError, match="CouldNotDetermineMessageSource") as raised:
        work.run(lambda _: None)
    assert (raised.value.code, work.letters) == ("move_failed", 2)


def test_interrupted_watching_knows_that_the_move_goes_on() -> None:
    work = redrive(Moving({}, move("RUNNING", 5), move("Ctrl-C")))
    with pytest.raises(KeyboardInterrupt):
        work.run(lambda _: None)
    assert (work.native, work.letters) == (True, 5)
