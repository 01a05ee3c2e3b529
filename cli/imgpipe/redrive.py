"""Sending back what failed, and giving it up: no message leaves the dead-letter queue before it is somewhere else."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from image_pipeline.record import Status
from imgpipe import catalog
from imgpipe.aws import Clients
from imgpipe.deadletters import DeadLetter, Look
from imgpipe.errors import ImgpipeError
from imgpipe.reprocess import Image, Reprocessing, chosen
from imgpipe.stack.names import StackOutputs

Done = Callable[[int], None]
"""Called with how many messages and images have been dealt with."""

_BATCH_BYTES = 200_000  # well below what SQS takes at once, attributes included
_UNKNOWN_CALL = ("InvalidAction", "UnknownOperationException", "NotImplemented")
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


@dataclass(slots=True)
class Redrive:
    """Sends dead letters and failed images back: all of them, or those of some keys (or message ids).

    A message is deleted only once the jobs queue has it, so an interruption may send one twice and loses none. The
    counts are true whenever `run` ends; `missing` are the keys under which nothing had failed.
    """

    clients: Clients
    names: StackOutputs
    keys: Sequence[str] = ()
    letters: int = 0
    images: int = 0
    not_sent: int = 0
    still_there: int = 0
    native: bool = False
    missing: set[str] = field(default_factory=set)
    _ours: set[str] = field(default_factory=set)

    def run(self, progress: Done) -> None:
        """Send everything back; raises `move_failed` where SQS gave up moving."""
        self.missing = set(self.keys)
        if self.keys or not self._move(progress):
            self._by_hand(progress)
        # Afterwards: an image that its message has mended by then needs no job.
        for result in Reprocessing(self.clients, self.names, wait=False, timeout=60).results(self._failed(), _ignored):
            self.images += result.state == "sent"
            self.not_sent += result.state != "sent"
            progress(self.letters + self.images)

    def to_json(self) -> dict[str, Any]:
        """What `imgpipe failures redrive --json` prints."""
        return {
            "redriven": self.letters + self.images,
            "dead_letters": self.letters,
            "failed": self.images,
            "not_sent": self.not_sent,
            "not_found": sorted(self.missing),
        }

    def _failed(self) -> Iterator[Image | None]:
        if not self.keys:
            return chosen(catalog.failed_rows(self.clients, self.names.table), lambda _: True)
        records = catalog.rows(self.clients, self.names.table, list(dict.fromkeys(self.keys)))
        failed = [one for one in records.values() if one.status is Status.FAILED]
        self.missing -= {one.image_key for one in failed}
        return chosen(failed, lambda _: True)

    def _move(self, progress: Done) -> bool:
        """Have SQS move all messages; False where it cannot. A move that runs already is watched to its end."""
        from botocore.exceptions import ClientError

        sqs = self.clients["sqs"]
        dead, jobs = (
            sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            for url in (self.names.dead_letter_queue_url, self.names.jobs_queue_url)
        )
        earlier = None
        try:
            if (task := _task(sqs, dead)).get("Status") != "RUNNING":
                earlier = task.get("StartedTimestamp")
                sqs.start_message_move_task(SourceArn=dead, DestinationArn=jobs)
        except ClientError as error:
            if error.response["Error"]["Code"] in _UNKNOWN_CALL:
                return False
            raise
        self.native, pause = True, _SHORTEST_PAUSE
        while (task := _task(sqs, dead, but=earlier)).get("Status") in ("RUNNING", None):
            self.letters = int(task.get("ApproximateNumberOfMessagesMoved", 0))
            progress(self.letters)
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        self.letters = int(task.get("ApproximateNumberOfMessagesMoved", 0))
        if task["Status"] != "COMPLETED":
            why = str(task.get("FailureReason") or task["Status"].lower())
            raise ImgpipeError("move_failed", f"SQS stopped moving the dead letters: {why}.", "imgpipe failures")
        return True

    def _by_hand(self, progress: Done) -> None:
        with Look(self.clients, self.names) as look:
            for batch in look.batches():
                # What cannot be processed at all is back within seconds, and would go round for ever.
                wanted = [one for one in batch if one.message_id not in self._ours]
                if self.keys:
                    wanted = [one for one in wanted if one.is_one_of(self.keys)]
                for part in _parts(wanted):
                    self._send(part, look)
                    progress(self.letters)

    def _send(self, part: Sequence[DeadLetter], look: Look) -> None:
        entries = [
            {"Id": str(n), "MessageBody": one.body, "MessageAttributes": one.attributes} for n, one in enumerate(part)
        ]
        answer = self.clients["sqs"].send_message_batch(QueueUrl=self.names.jobs_queue_url, Entries=entries)
        accepted = answer.get("Successful", ())
        self._ours |= {one["MessageId"] for one in accepted}
        gone = [part[int(one["Id"])] for one in accepted]
        self.letters += len(gone)
        self.not_sent += len(part) - len(gone)
        for one in part:
            self.missing -= {one.message_id, *one.keys}
        self.still_there += len(look.delete(gone))


@dataclass(slots=True)
class Purge:
    """Gives dead letters up: each is on the disk, in `path` (JSON Lines), before it is deleted.

    A file that is there is added to. `deleted` and `exported` are true whenever `run` ends; a message that was
    exported and could not be deleted is in both places.
    """

    clients: Clients
    names: StackOutputs
    path: Path
    keys: Sequence[str] = ()
    exported: int = 0
    deleted: int = 0

    def run(self, progress: Done) -> None:
        """Export and delete; raises OSError before anything is deleted that could not be written."""
        with Look(self.clients, self.names) as look:
            for batch in look.batches():
                if doomed := [one for one in batch if not self.keys or one.is_one_of(self.keys)]:
                    self._export(doomed)
                    self.deleted += len(doomed) - len(look.delete(doomed))
                    progress(self.deleted)

    def to_json(self) -> dict[str, Any]:
        """What `imgpipe failures purge --json` prints; `file` is null where nothing was written."""
        return {"purged": self.deleted, "exported": self.exported, "file": str(self.path) if self.exported else None}

    def _export(self, letters: Sequence[DeadLetter]) -> None:
        # What people sent may be nobody else's business.
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "rb+") as file:
            size = file.seek(0, os.SEEK_END)
            # Whoever was killed while writing left half a line, which must not swallow the next one.
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            lines = "".join(json.dumps(one.to_json()) + "\n" for one in letters)
            file.write(("\n" * torn + lines).encode())
            file.flush()
            os.fsync(handle)
        if not self.exported:
            _sync_folder(self.path.absolute().parent)
        self.exported += len(letters)


def _parts(letters: Sequence[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """As many messages at once as SQS takes together; a large one goes alone."""
    part: list[DeadLetter] = []
    size = 0
    for one in letters:
        bytes_ = len(one.body.encode(errors="replace"))
        if part and size + bytes_ > _BATCH_BYTES:
            yield part
            part, size = [], 0
        part.append(one)
        size += bytes_
    if part:
        yield part


def _task(sqs: Any, source: str, but: int | None = None) -> Mapping[str, Any]:
    """The newest move out of a queue, running or over; empty where there was none but the one started at `but`."""
    results: list[Mapping[str, Any]] = sqs.list_message_move_tasks(SourceArn=source, MaxResults=1).get("Results", [])
    return results[0] if results and (but is None or results[0].get("StartedTimestamp") != but) else {}


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file as lasting as what is in it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _ignored(_: int) -> None:
    """Progress that nobody needs."""
