"""The story of one image, told from what S3, the table, the queues and the log know of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from image_pipeline.record import ImageRecord, Refusal, Status
from imgpipe.advice import ADVICE
from imgpipe.deadletters import DeadLetter, iso
from imgpipe.hints import typed
from imgpipe.logs import Line
from imgpipe.words import counted

GRACE = timedelta(seconds=60)
"""For so long an event may be on its way, and a worker that began its last attempt may still be at it."""

State = Literal[
    "ready", "failed", "working", "queued", "dead_lettered", "lost", "leaving", "deleted", "folder", "unknown"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of the object: its size in bytes, or None where it is a delete marker."""

    at: datetime
    version_id: str | None
    bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a key at `now`. `versions` are newest first; `served` is what S3 serves now.

    `waiting` and `in_flight` count all messages of the jobs queue. `letters` are the dead letters about the key; where
    `all_letters` is false, there are more of other keys than were looked at. `close` is a key that may have been meant.
    """

    key: str
    now: datetime
    record: ImageRecord | None = None
    served: Version | None = None
    versions: tuple[Version, ...] = ()
    lines: tuple[Line, ...] = ()
    letters: tuple[DeadLetter, ...] = ()
    all_letters: bool = True
    waiting: int = 0
    in_flight: int = 0
    close: str | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, and when (UTC)."""

    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Story:
    """What happened in its order, how things stand, and what to do next ("" where there is nothing to do)."""

    key: str
    state: State
    moments: tuple[Moment, ...]
    now: str
    next: str

    def to_json(self) -> dict[str, Any]:
        """What `imgpipe why --json` prints."""
        moments = [{"at": iso(one.at), "what": one.what} for one in self.moments]
        return {"image_key": self.key, "state": self.state, "moments": moments, "now": self.now, "next": self.next}


def tell(facts: Facts) -> Story:
    """The story that the facts make."""
    state, now, next_ = _standing(facts)
    # What has one time keeps its order: an upload is read before a log, and a log before a record.
    moments = sorted((*_uploads(facts), *_log(facts.lines), *_recorded(facts)), key=lambda one: one.at)
    return Story(facts.key, state, tuple(moments), now, next_)


_Standing = tuple[State, str, str]


def _standing(facts: Facts) -> _Standing:
    if facts.served is None:
        return _left_over(facts) if facts.record else _gone(facts)
    if facts.key.endswith("/") and not facts.served.bytes:
        return "folder", "It is an empty folder, as consoles make them, and no image.", ""
    if facts.record is not None and _is_about(facts.record, facts.served):
        return _decided(facts, facts.record)
    return _undecided(facts, facts.served)


def _is_about(record: ImageRecord, served: Version) -> bool:
    if record.source.version_id is None:  # the function could not read which version it is
        return datetime.fromisoformat(record.processed_at) >= served.at
    return record.source.version_id == served.version_id


def _decided(facts: Facts, record: ImageRecord) -> _Standing:
    key = typed(facts.key)
    failure = record.failure
    if failure is None:
        thumbnail = "a thumbnail" if record.thumbnail else "no thumbnail"
        now = f"READY, with {counted(len(record.renditions), 'rendition')} and {thumbnail}."
        if facts.letters:
            return "ready", f"{now} A dead letter of it is left over.", f"imgpipe failures purge {key}"
        return "ready", now, f"imgpipe get {key}"
    since = facts.now - datetime.fromisoformat(record.processed_at)
    if failure.code is Refusal.CRASHED and failure.reason == Refusal.CRASHED.sentence and since < GRACE:
        now = "Its last attempt began within the last minute, and is under way or has died."
        return "working", now, f"imgpipe why {key}"
    now = f"FAILED ({failure.code}): {failure.reason}"
    if facts.letters:
        return "failed", f"{now} Its message is a dead letter.", f"imgpipe failures redrive {key}"
    if failure.code is Refusal.CRASHED:
        return "failed", now, f"imgpipe logs --errors {_of(facts.key)}, then imgpipe reprocess {key}"
    return "failed", now, ADVICE[failure.code].replace("reprocess --failed", f"reprocess {key}")


def _undecided(facts: Facts, served: Version) -> _Standing:
    """S3 serves what no record speaks of yet: a new image, or a newer version of one."""
    key = typed(facts.key)
    what = "Its newest version has no record yet" if facts.record else "It has no record yet"
    # A letter of an earlier upload does not say what became of this one.
    if any(letter.sent_at > served.at - GRACE for letter in facts.letters):
        return "dead_lettered", f"{what}: its message failed every receive.", f"imgpipe failures redrive {key}"
    queued = facts.waiting + facts.in_flight
    attempt = _last_attempt(facts.lines, served.at - GRACE)
    if attempt and queued:
        return "working", f"{what}: {attempt}.", f"imgpipe logs -f {_of(facts.key)}"
    if queued:
        about = f"{facts.waiting} messages wait and {facts.in_flight} are in work"
        return "queued", f"{what}: it is still in the queue, where {about}.", f"imgpipe why {key}"
    if facts.now - served.at < GRACE:
        return "queued", f"{what}: it came within the last minute, and its event is on its way.", f"imgpipe why {key}"
    where = "its event was lost" if facts.all_letters else "its event was lost, or is among many dead letters"
    return "lost", f"{what}, and nothing in the queue will make one: {where}.", f"imgpipe reprocess {key}"


def _last_attempt(lines: tuple[Line, ...], since: datetime) -> str:
    """How the attempt that is under way, or will follow, stands; "" where the log tells of none."""
    for line in reversed(lines):
        said = line.data or {}
        if line.when < since or said.get("message") in (*_VERDICTS, "Dead-lettered"):
            return ""
        if said.get("message") == "Received":
            return f"attempt {said.get('receive_count', 1)} is under way"
        if said.get("message") in ("Will be tried again", "Unexpected error"):
            return f"attempt {said.get('receive_count', 1)} failed, and the queue tries again"
    return ""


def _left_over(facts: Facts) -> _Standing:
    """A record of an object that is gone."""
    key = typed(facts.key)
    if facts.letters:
        now = "Deleted, but its record is still there: the message failed every receive."
        return "dead_lettered", now, f"imgpipe failures redrive {key}"
    deleted = facts.versions[0].at if facts.versions else None
    if facts.waiting + facts.in_flight or (deleted and facts.now - deleted < GRACE):
        return "leaving", "Deleted; its record and its outputs are about to go.", f"imgpipe why {key}"
    now = "Deleted, but its record is still there: the event was lost."
    return "lost", now, f"imgpipe reprocess {key}"


def _gone(facts: Facts) -> _Standing:
    key = typed(facts.key)
    marker = next((one for one in facts.versions if one.bytes is None), None)
    if facts.letters:
        now = "There is no such object any more. A dead letter about it is left over."
        return "deleted", now, f"imgpipe failures purge {key}"
    if marker is not None and facts.versions[0] is marker:
        kept = sum(one.bytes is not None for one in facts.versions)
        more = "Its old versions are kept for a while." if kept else "No version of it is left."
        return "deleted", f"Deleted. {more}", "Upload it again, or remove the delete marker in S3." if kept else ""
    if facts.lines:
        return "deleted", "There is no such object any more; only the log remembers it.", ""
    meant = f" Did you mean {facts.close}?" if facts.close else ""
    next_ = f"imgpipe why {typed(facts.close)}" if facts.close else "imgpipe ls"
    return "unknown", f"There is no image {facts.key}, and nothing here has heard of one.{meant}", next_


def _uploads(facts: Facts) -> Iterator[Moment]:
    record = facts.record
    known = False
    for one in reversed(facts.versions):
        if one.bytes is None:
            yield Moment(one.at, "Deleted, by a delete marker.")
            continue
        ours = record is not None and record.source.version_id == one.version_id
        known = known or ours
        who = f" by {record.user}" if record and ours else ""
        yield Moment(one.at, f"Uploaded{who}: {one.bytes:,} bytes.")
    if record is not None and not known:
        yield Moment(datetime.fromisoformat(record.uploaded_at), f"Uploaded by {record.user}.")
    for letter in facts.letters:
        often = f"was received {letter.receives} times in all, and is a dead letter"
        yield Moment(letter.sent_at, f"A message about it was sent; it {often}.")


_VERDICTS = (
    "Ready",
    "Failed: the image was refused",
    "Nothing to do: the record already says so",
    "Deleted: the object is gone, so are its outputs and its record",
)


def _log(lines: tuple[Line, ...]) -> Iterator[Moment]:
    for line in lines:
        if words := _in_words(line):
            yield Moment(line.when, words)


def _in_words(line: Line) -> str:
    said: Mapping[str, Any] = line.data or {}
    message, attempt = str(said.get("message", "")), f"Attempt {said.get('receive_count', 1)}"
    if message == "Received":
        return f"{attempt} began."
    if message == "Ready":
        return f"READY: {', '.join(map(str, said.get('made', ())))}."
    if message == "Failed: the image was refused":
        return f"FAILED ({said.get('code')}): {said.get('reason')}"
    if message in _VERDICTS:
        return f"{message}."
    if message == "Will be tried again":
        return f"{attempt} failed: {said.get('error')}; the queue tries again."
    if message == "Dead-lettered":
        return f"{attempt}, the last, failed: {said.get('error')}; the message goes to the dead letters."
    if message == "Unexpected error":
        return f"{attempt} failed unexpectedly: {said.get('error')}."
    if line.level in ("WARNING", "ERROR", "CRITICAL"):
        return " ".join((message or line.message).split())[:300]
    return ""


def _recorded(facts: Facts) -> Iterator[Moment]:
    """What the record adds to the log: how it ended, where no line is left that says so, and what was decided."""
    if (record := facts.record) is None:
        return
    at = datetime.fromisoformat(record.processed_at)
    said = [line for line in facts.lines if line.request_id == record.request_id and _says_how_it_ended(line)]
    if said:
        at = said[-1].when
    elif record.failure is not None:
        yield Moment(at, f"FAILED ({record.failure.code}): {record.failure.reason}")
    elif record.status is Status.READY:
        yield Moment(at, f"READY: {', '.join(f'{one.name} {one.width}x{one.height}' for one in record.outputs)}.")
    for note in record.notes:
        yield Moment(at, f"Decided: {note}")


def _says_how_it_ended(line: Line) -> bool:
    return (line.data or {}).get("message") in _VERDICTS[:2]


def _of(key: str) -> str:
    """The option that names a key, which may begin as an option does."""
    return shlex.quote(f"--key={key}")
