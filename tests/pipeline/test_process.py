"""The commit, case by case, on the real engine: what one worker does when the world is not still."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from PIL import Image

from image_pipeline.events import ImageEvent
from image_pipeline.faults import TransientError
from image_pipeline.record import Refusal, Status
from image_pipeline.settings import recipe_from_environment

if TYPE_CHECKING:
    from conftest import Bench


def png(shade: int = 0, size: tuple[int, int] = (9, 6)) -> bytes:
    """A plain picture."""
    out = BytesIO()
    Image.new("RGB", size, (shade, 30, 60)).save(out, "PNG")
    return out.getvalue()


class Tampered:
    """A client whose calls are counted and may be replaced: `on[operation](call, arguments)` answers instead."""

    def __init__(self, client: Any, **on: Callable[[Any, dict[str, Any]], Any]) -> None:
        self._client, self.on, self.calls = client, on, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def tampered(**arguments: Any) -> Any:
            self.calls[name] += 1
            return self.on[name](call, arguments) if name in self.on else call(**arguments)

        return tampered


def once(deed: Callable[[Any, dict[str, Any]], Any]) -> Callable[[Any, dict[str, Any]], Any]:
    """A replacement for the first call only."""
    armed = [True]

    def replacement(call: Any, arguments: dict[str, Any]) -> Any:
        if armed:
            armed.clear()
            return deed(call, arguments)
        return call(**arguments)

    return replacement


def refuse(code: str, status: int = 400) -> Callable[[Any, dict[str, Any]], Any]:
    """A call that AWS answers with an error."""

    def deed(_call: Any, _arguments: dict[str, Any]) -> Any:
        raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Operation")

    return deed


def unanswered(call: Any, arguments: dict[str, Any]) -> Any:
    """A call that arrives and whose answer is lost."""
    call(**arguments)
    raise ReadTimeoutError(endpoint_url="test")


def event(bench: Bench, key: str, *, force: bool = False) -> ImageEvent:
    return ImageEvent(bucket=bench.settings.input_bucket, key=key, force=force)


def test_an_image_costs_one_read_one_get_its_puts_one_commit_and_one_look(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    s3, dynamodb = Tampered(bench.clients["s3"]), Tampered(bench.clients["dynamodb"])
    assert bench.worker(s3, dynamodb).settle(event(bench, key)).what == "ready"
    assert s3.calls == {"get_object": 1, "put_object": 3, "head_object": 1}
    assert dynamodb.calls == {"get_item": 1, "put_item": 1}


def test_the_record_tells_what_was_found_and_made(bench: Bench) -> None:
    key = f"folder/{bench.fresh_key()}"
    data = png(size=(300, 200))
    version = bench.put(key, data, Metadata={"user": "J%C3%BCrgen"}, ContentType="image/png")
    bench.worker().settle(event(bench, key))
    row = bench.row(key)
    assert row is not None
    assert (row.status, row.format, row.width, row.height) == (Status.READY, "png", 300, 200)
    assert (row.source.version_id, row.source.bytes) == (version, len(data))
    assert row.file_name == key.rsplit("/")[-1]
    assert row.user == "Jürgen"
    assert [(one.name, one.width, one.height) for one in row.renditions] == [
        ("1024", 300, 200),
        ("512", 300, 200),
        ("128", 128, 85),
    ]
    assert row.thumbnail is None
    assert any("thumbnail" in note.lower() for note in row.notes)
    assert bench.is_conserved(key)


def test_outputs_carry_their_type_and_may_be_cached_for_ever(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    bench.worker().settle(event(bench, key))
    row = bench.row(key)
    assert row is not None
    for one in row.outputs:
        answer = bench.clients["s3"].get_object(Bucket=one.bucket, Key=one.key)
        assert answer["ContentType"] == one.content_type == "image/png"
        assert "immutable" in answer["CacheControl"]
        assert len(answer["Body"].read()) == one.bytes


def test_the_user_falls_back_to_the_principal_and_is_cut_to_256_bytes(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    bench.worker().settle(replace(event(bench, key), principal="ü" * 200))
    row = bench.row(key)
    assert row is not None
    assert row.user == "ü" * 128


def test_a_duplicate_changes_nothing_and_does_not_read_the_bytes(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    bench.worker().settle(event(bench, key))
    before = bench.row(key)
    s3 = Tampered(bench.clients["s3"])
    assert bench.worker(s3).settle(event(bench, key)).what == "unchanged"
    assert s3.calls == {"get_object": 1}
    assert bench.row(key) == before


def test_a_forced_event_makes_it_again_and_removes_the_old_outputs(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    bench.worker().settle(event(bench, key))
    before = bench.outputs(key)
    assert bench.worker().settle(event(bench, key, force=True)).what == "ready"
    assert bench.is_conserved(key)
    assert not bench.outputs(key) & before


def test_another_recipe_makes_it_again(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    bench.worker().settle(event(bench, key))
    worker = bench.worker()
    worker.settings = replace(worker.settings, recipe=recipe_from_environment({"IMGPIPE_MAX_SIDE": "29999"}))
    assert worker.settle(event(bench, key)).what == "ready"
    assert bench.is_conserved(key)


def test_deleting_the_object_leaves_neither_row_nor_outputs(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    bench.worker().settle(event(bench, key))
    bench.delete(key)
    assert bench.worker().settle(event(bench, key)).what == "deleted"
    assert bench.row(key) is None
    assert bench.outputs(key) == set()
    assert bench.worker().settle(event(bench, key)).what == "unchanged"


def test_deleting_an_old_version_changes_nothing(bench: Bench) -> None:
    key = bench.fresh_key()
    old = bench.put(key, png(1))
    bench.put(key, png(2))
    bench.worker().settle(event(bench, key))
    before = bench.row(key)
    bench.delete(key, old)
    assert bench.worker().settle(event(bench, key)).what == "unchanged"
    assert bench.row(key) == before


def test_removing_a_delete_marker_brings_the_picture_back(bench: Bench) -> None:
    key = bench.fresh_key()
    version = bench.put(key, png())
    marker = bench.delete(key)
    bench.worker().settle(event(bench, key))
    assert bench.row(key) is None
    bench.delete(key, marker)
    bench.worker().settle(event(bench, key))
    row = bench.row(key)
    assert row is not None
    assert row.source.version_id == version
    assert bench.is_conserved(key)


def test_removing_the_newest_version_brings_the_one_before_back(bench: Bench) -> None:
    key = bench.fresh_key()
    old = bench.put(key, png(1))
    new = bench.put(key, png(2))
    bench.worker().settle(event(bench, key))
    bench.delete(key, new)
    bench.worker().settle(event(bench, key))
    row = bench.row(key)
    assert row is not None
    assert row.source.version_id == old
    assert bench.is_conserved(key)


def test_a_folder_marker_is_no_image(bench: Bench) -> None:
    key = bench.fresh_key() + "/"
    bench.put(key, b"")
    assert bench.worker().settle(event(bench, key)).what == "unchanged"
    assert bench.row(key) is None


def test_a_key_that_ends_in_a_slash_may_still_be_a_picture(bench: Bench) -> None:
    key = bench.fresh_key() + "/"
    bench.put(key, png())
    assert bench.worker().settle(event(bench, key)).what == "ready"


def test_an_upload_during_the_work_is_noticed_by_the_second_look(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png(1))
    newest: list[str] = []

    def overtake(call: Any, arguments: dict[str, Any]) -> Any:
        newest.append(bench.put(key, png(2)))
        return call(**arguments)

    worker = bench.worker(dynamodb=Tampered(bench.clients["dynamodb"], put_item=once(overtake)))
    worker.settle(event(bench, key))
    row = bench.row(key)
    assert row is not None
    assert row.source.version_id == newest[0]
    assert bench.is_conserved(key)


def test_an_upload_taken_back_during_the_work_is_noticed_although_its_event_is_spent(bench: Bench) -> None:
    key = bench.fresh_key()
    first = bench.put(key, png(1))
    bench.worker().settle(event(bench, key))
    second = bench.put(key, png(2))

    def take_back(call: Any, arguments: dict[str, Any]) -> Any:
        bench.delete(key, second)
        assert bench.worker().settle(event(bench, key)).what == "unchanged"
        return call(**arguments)

    worker = bench.worker(dynamodb=Tampered(bench.clients["dynamodb"], put_item=once(take_back)))
    worker.settle(event(bench, key))
    row = bench.row(key)
    assert row is not None
    assert row.source.version_id == first
    assert bench.is_conserved(key)


def test_the_loser_of_a_race_removes_its_outputs(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())

    def overtake(call: Any, arguments: dict[str, Any]) -> Any:
        assert bench.worker().settle(event(bench, key)).what == "ready"
        return call(**arguments)

    worker = bench.worker(dynamodb=Tampered(bench.clients["dynamodb"], put_item=once(overtake)))
    assert worker.settle(event(bench, key)).what == "unchanged"
    assert bench.is_conserved(key)


def test_a_commit_whose_answer_is_lost_is_found_to_have_succeeded(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    worker = bench.worker(dynamodb=Tampered(bench.clients["dynamodb"], put_item=once(unanswered)))
    assert worker.settle(event(bench, key)).what == "ready"
    assert bench.is_conserved(key)


def test_a_retry_that_meets_its_own_earlier_write_is_no_conflict(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())

    def twice(call: Any, arguments: dict[str, Any]) -> Any:
        call(**arguments)  # the answer of this one is lost inside the SDK, which tries again
        return call(**arguments)

    worker = bench.worker(dynamodb=Tampered(bench.clients["dynamodb"], put_item=once(twice)))
    assert worker.settle(event(bench, key)).what == "ready"
    assert bench.is_conserved(key)


def test_a_commit_that_arrives_late_cannot_undo_a_newer_one(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    late: list[Callable[[], Any]] = []

    def delay(call: Any, arguments: dict[str, Any]) -> Any:
        late.append(lambda: call(**arguments))
        raise ReadTimeoutError(endpoint_url="test")

    worker = bench.worker(dynamodb=Tampered(bench.clients["dynamodb"], put_item=once(delay)))
    assert worker.settle(event(bench, key)).what == "ready"
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        late[0]()
    assert bench.is_conserved(key)


def test_a_deletion_whose_answer_is_lost_still_removes_the_outputs(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    bench.worker().settle(event(bench, key))
    bench.delete(key)
    worker = bench.worker(dynamodb=Tampered(bench.clients["dynamodb"], delete_item=once(unanswered)))
    assert worker.settle(event(bench, key)).what == "deleted"
    assert bench.is_conserved(key)


def test_a_put_that_fails_leaves_no_outputs_and_is_tried_again(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    worker = bench.worker(s3=Tampered(bench.clients["s3"], put_object=once(refuse("SlowDown", 503))))
    with pytest.raises(TransientError, match="PutObject failed: SlowDown"):
        worker.settle(event(bench, key))
    assert bench.outputs(key) == set()
    assert bench.row(key) is None
    assert worker.settle(event(bench, key)).what == "ready"


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_trouble_with_s3_is_transient(bench: Bench, operation: str) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    worker = bench.worker(s3=Tampered(bench.clients["s3"], **{operation: once(refuse("InternalError", 500))}))
    with pytest.raises(TransientError, match="InternalError"):
        worker.settle(event(bench, key))
    worker.settle(event(bench, key))
    assert bench.is_conserved(key)


@pytest.mark.parametrize(
    ("code", "passing"),
    [("AccessDenied", True), ("KMS.DisabledException", True), ("InvalidObjectState", False), ("InvalidRequest", False)],
)
@pytest.mark.parametrize("may_look", [True, False])
def test_an_object_that_may_not_be_read_is_failed_until_it_may(
    bench: Bench, code: str, passing: bool, may_look: bool
) -> None:
    key = bench.fresh_key()
    version = bench.put(key, png())
    s3 = Tampered(bench.clients["s3"], get_object=refuse(code, 403))
    if not may_look:
        s3.on["head_object"] = refuse("403", 403)
    outcome = bench.worker(s3).settle(event(bench, key))
    assert (outcome.what, outcome.passing) == ("failed", passing)
    row = bench.row(key)
    assert row is not None
    assert row.failure is not None
    assert row.failure.code is Refusal.FORBIDDEN
    assert code in row.failure.reason
    assert row.source.version_id == (version if may_look else None)
    again = bench.worker(s3).settle(event(bench, key))
    assert (again.what, again.passing) == ("unchanged", passing)
    assert bench.worker().settle(event(bench, key)).what == "ready"
    assert bench.is_conserved(key)


def test_a_refusal_replaces_the_outputs_of_the_picture_before(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    bench.worker().settle(event(bench, key))
    bench.put(key, b"not a picture")
    assert bench.worker().settle(event(bench, key)).what == "failed"
    row = bench.row(key)
    assert row is not None
    assert row.failure is not None
    assert row.failure.code is Refusal.UNSUPPORTED_TYPE
    assert bench.is_conserved(key)


def test_a_file_over_the_limit_is_refused_without_reading_it(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    worker = bench.worker()
    worker.settings = replace(worker.settings, recipe=recipe_from_environment({"IMGPIPE_MAX_BYTES": "10"}))
    worker.settle(event(bench, key))
    row = bench.row(key)
    assert row is not None
    assert row.failure is not None
    assert row.failure.code is Refusal.TOO_LARGE
    assert "get" not in row.timings_ms


def test_before_the_last_attempt_the_row_says_crashed_and_success_replaces_it(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    seen: list[Any] = []

    def witness(call: Any, arguments: dict[str, Any]) -> Any:
        seen.append(bench.row(key))
        return call(**arguments)

    worker = bench.worker(s3=Tampered(bench.clients["s3"], put_object=witness))
    assert worker.settle(event(bench, key), last_receive=True).what == "ready"
    assert seen[0].failure.code is Refusal.CRASHED
    assert bench.is_conserved(key)


def test_a_crashed_row_is_no_verdict(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    broken = bench.worker(s3=Tampered(bench.clients["s3"], put_object=refuse("SlowDown", 503)))
    with pytest.raises(TransientError):
        broken.settle(event(bench, key), last_receive=True)
    broken.give_up(event(bench, key), "PutObject failed: SlowDown")
    row = bench.row(key)
    assert row is not None
    assert row.failure is not None
    assert (row.failure.code, row.failure.reason) == (Refusal.CRASHED, "PutObject failed: SlowDown")
    assert bench.worker().settle(event(bench, key)).what == "ready"


def test_a_crash_over_an_older_recipe_keeps_the_pictures_that_are_there(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    bench.worker().settle(event(bench, key))
    before = bench.outputs(key)
    worker = bench.worker(s3=Tampered(bench.clients["s3"], put_object=refuse("SlowDown", 503)))
    worker.settings = replace(worker.settings, recipe=recipe_from_environment({"IMGPIPE_MAX_SIDE": "29999"}))
    with pytest.raises(TransientError):
        worker.settle(event(bench, key), last_receive=True)
    row = bench.row(key)
    assert row is not None
    assert row.status is Status.FAILED
    assert bench.is_conserved(key)
    assert bench.outputs(key) == before
    assert bench.worker().settle(event(bench, key)).what == "ready"
    assert bench.is_conserved(key)
    assert not bench.outputs(key) & before


def test_a_write_that_the_table_refuses_is_left_to_a_later_try_and_leaves_nothing(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    dynamodb = Tampered(bench.clients["dynamodb"], put_item=refuse("ThrottlingException"))
    with pytest.raises(TransientError, match="ThrottlingException"):
        bench.worker(dynamodb=dynamodb).settle(event(bench, key))
    assert dynamodb.calls["put_item"] == 1
    assert bench.outputs(key) == set()


def test_a_table_that_never_answers_is_asked_twice_and_no_more(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())

    def silent(_call: Any, _arguments: dict[str, Any]) -> Any:
        raise ReadTimeoutError(endpoint_url="test")

    dynamodb = Tampered(bench.clients["dynamodb"], put_item=silent)
    with pytest.raises(TransientError, match="ReadTimeoutError"):
        bench.worker(dynamodb=dynamodb).settle(event(bench, key))
    assert dynamodb.calls["put_item"] == 2


def test_a_connection_that_died_while_the_function_was_frozen_is_no_failure(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())

    def dead(_call: Any, _arguments: dict[str, Any]) -> Any:
        raise ConnectionClosedError(endpoint_url="test")

    worker = bench.worker(dynamodb=Tampered(bench.clients["dynamodb"], get_item=once(dead)))
    assert worker.settle(event(bench, key)).what == "ready"


def test_giving_up_never_replaces_a_row_that_is_right(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    bench.worker().settle(event(bench, key))
    before = bench.row(key)
    bench.worker().give_up(event(bench, key), "late")
    assert bench.row(key) == before


def test_an_object_that_never_stands_still_is_left_to_a_later_try(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())

    def restless(call: Any, arguments: dict[str, Any]) -> Any:
        bench.put(key, png())
        return call(**arguments)

    worker = bench.worker(s3=Tampered(bench.clients["s3"], head_object=restless))
    with pytest.raises(TransientError, match="changed 8 times"):
        worker.settle(event(bench, key))


def test_every_call_to_s3_names_the_account_that_must_own_the_bucket(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    owners: list[Any] = []

    def note(call: Any, arguments: dict[str, Any]) -> Any:
        owners.append(arguments.get("ExpectedBucketOwner"))
        return call(**arguments)

    operations = ("get_object", "head_object", "put_object", "delete_object")
    s3 = Tampered(bench.clients["s3"], **dict.fromkeys(operations, note))
    for force in (False, True):
        bench.worker(s3).settle(event(bench, key, force=force))
    assert set(owners) == {bench.settings.account}
    assert len(owners) == 2 * 5 + 3


@pytest.mark.parametrize(
    "key",
    ["a b+c%d&e.png", "é-nfc.png", "e\u0301-nfd.png", "/leading.png", "a/../b.png", "line\nbreak.png", "k" * 1024],
)
def test_any_key_is_only_a_name(bench: Bench, key: str) -> None:
    bench.put(key, png())
    assert bench.worker().settle(event(bench, key)).what == "ready"
    row = bench.row(key)
    assert row is not None
    assert row.image_key == key
    assert all(len(one.key.encode()) <= 900 for one in row.outputs)
    for one in row.outputs:
        bench.clients["s3"].head_object(Bucket=one.bucket, Key=one.key)


def test_outputs_are_written_side_by_side(bench: Bench) -> None:
    key = bench.fresh_key()
    bench.put(key, png())
    together = threading.Barrier(3, timeout=10)

    def meet(call: Any, arguments: dict[str, Any]) -> Any:
        together.wait()
        return call(**arguments)

    assert bench.worker(Tampered(bench.clients["s3"], put_object=meet)).settle(event(bench, key)).what == "ready"
