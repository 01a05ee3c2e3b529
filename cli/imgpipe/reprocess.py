"""Renditions made again: which images, a job for each in the queue, and what became of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote_plus

from image_pipeline.events import REPROCESS
from image_pipeline.record import ImageRecord, Status
from image_pipeline.settings import RenditionSpec, recipe_from_environment
from imgpipe import catalog
from imgpipe.aws import Clients
from imgpipe.downloads import THUMBNAIL
from imgpipe.errors import usage
from imgpipe.failures import explain, is_remote
from imgpipe.images import Verdict, is_folder, serves
from imgpipe.stack.names import StackOutputs

WINDOW = 200
"""Jobs under way at once while their ends are waited for: an upload that comes meanwhile waits behind no more."""

_BATCH = 10  # what SQS takes at once
_ROWS_AT_ONCE = 200  # looked at before the table is asked again what became of the jobs
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)  # before an entry that SQS had no capacity for is sent again
_SHORTEST_PAUSE, _LONGEST_PAUSE, _PAUSE_PER_IMAGE = 0.03, 1.0, 0.002

_GONE = "the object is gone, and with it the record and all that was made of it"

State = Literal["sent", "ready", "failed", "deleted", "timed_out", "not_sent"]


@dataclass(frozen=True, slots=True)
class Image:
    """One to make again, with the revision and the user of its row; both None where it has none."""

    key: str
    revision: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one image. `record` is there for ready and failed, `error` says what happened otherwise."""

    key: str
    state: State
    record: ImageRecord | None = None
    error: str = ""


def chosen(records: Iterable[ImageRecord], wanted: Callable[[ImageRecord], bool]) -> Iterator[Image | None]:
    """The images whose record is wanted; None for each that is left alone, so that progress can count it."""
    for record in records:
        yield Image(record.image_key, record.revision, record.user) if wanted(record) else None


def named(clients: Clients, names: StackOutputs, keys: Sequence[str]) -> tuple[list[Image], list[str]]:
    """The images of those keys, and the keys that neither the table nor the bucket knows."""
    found = catalog.rows(clients, names.table, keys)
    images, unknown = [], []
    for key in dict.fromkeys(keys):
        if row := found.get(key):
            images.append(Image(key, row.revision, row.user))
        # An object without a row is one whose event was lost, or is still to come: then this is one event more.
        elif (served := serves(clients, names.input_bucket, key)) and not is_folder(key, served):
            images.append(Image(key))
        else:
            unknown.append(key)
    return images, unknown


def lacking(parameters: Mapping[str, str], name: str) -> Callable[[ImageRecord], bool]:
    """Whether a READY record lacks the picture `name`, which the stack with these parameters would make of it.

    "thumbnail" is the thumbnail whatever its name. Raises a usage error for a name that the stack does not know.
    """
    recipe = recipe_from_environment({"IMGPIPE_RENDITIONS": parameters.get("Renditions", "")})
    specs: dict[str, RenditionSpec] = {spec.name: spec for spec in recipe.renditions}
    if recipe.thumbnail:
        specs |= {recipe.thumbnail.name: recipe.thumbnail, THUMBNAIL: recipe.thumbnail}
    spec = specs.get(name)
    if spec is None:
        there = ", ".join([*(one.name for one in recipe.renditions), *([THUMBNAIL] if recipe.thumbnail else [])])
        raise usage(
            f"No rendition of this pipeline is called {name!r}: there are {there}.",
            "imgpipe up deploys those that imgpipe.toml names",
        )

    def lacks(record: ImageRecord) -> bool:
        large_enough = max(record.width or 0, record.height or 0) >= spec.min_side
        made = any(output.name == spec.name for output in record.outputs)
        return record.status is Status.READY and large_enough and not made

    return lacks


def job(bucket: str, image: Image) -> str:
    """The message that has an image made again although its row is up to date.

    It carries the user as the one who caused it: an object that S3 was given without one has no other trace of who.
    """
    record: dict[str, Any] = {
        "eventName": REPROCESS,
        "eventTime": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(image.key)}},
    }
    if image.user:
        record["userIdentity"] = {"principalId": image.user}
    return json.dumps({"Records": [record]})


@dataclass(slots=True)
class _Pending:
    image: Image
    look_at: float
    verdict: Verdict = field(default_factory=Verdict)


class Reprocessing:
    """Sends jobs and, with `wait`, watches until every row has been written again.

    It gives up when nothing was sent or decided for `timeout` seconds. `sent` counts jobs; `looked` the images that
    were looked at, sent or not; `unfinished` says that it gave up before it had looked at all of them.
    """

    def __init__(self, clients: Clients, names: StackOutputs, *, wait: bool, timeout: float) -> None:
        self._clients, self._names, self._wait, self._timeout = clients, names, wait, timeout
        self._pending: dict[str, _Pending] = {}
        self._more = True
        self._trouble: Exception | None = None
        self.sent = self.looked = 0
        self.unfinished = False

    def results(self, images: Iterable[Image | None], progress: Callable[[int], None]) -> Iterator[Result]:
        """Yields the Result of each image as it is decided; `progress` is told how many need no more attention.

        However many images there are, at most WINDOW of them are held here, and wait in the queue.
        """
        rest = iter(images)
        pause, look_at, deadline = _SHORTEST_PAUSE, time.monotonic(), time.monotonic() + self._timeout
        while self._more or self._pending:
            batch = self._next(rest, min(_BATCH, WINDOW - len(self._pending)))
            moved = bool(batch)
            yield from self._send(batch)
            if not moved and (len(self._pending) == WINDOW or not self._more):
                time.sleep(max(0.0, look_at - time.monotonic()))
            if (now := time.monotonic()) >= look_at:
                for result in self._poll():
                    moved = True
                    yield result
                pause = _SHORTEST_PAUSE if moved else min(pause * 1.5, _LONGEST_PAUSE)
                look_at = time.monotonic() + pause + len(self._pending) * _PAUSE_PER_IMAGE
            progress(self.looked - len(self._pending))
            if moved or not self._pending:
                deadline = now + self._timeout
            elif now > deadline:
                self.unfinished = self._more
                yield from self._give_up()
                return

    def _next(self, rest: Iterator[Image | None], most: int) -> list[Image]:
        """Up to `most` images, fewer where many rows have to be looked at to find one."""
        batch: list[Image] = []
        for _ in range(_ROWS_AT_ONCE):
            if len(batch) >= most:
                break
            try:
                image = next(rest)
            except StopIteration:
                self._more = False
                break
            self.looked += 1
            if image is not None:
                batch.append(image)
        return batch

    def _send(self, batch: Sequence[Image]) -> Iterator[Result]:
        """Send the jobs of at most ten images; yields those that SQS refused, and with no `wait` the others too."""
        waiting = {str(number): image for number, image in enumerate(batch)}
        for pause in (*_PAUSES, None):
            if not waiting:
                return
            refused = self._sqs_refuses(waiting)
            for number, image in list(waiting.items()):
                fault = refused.get(number)
                if fault is None:
                    yield from self._accepted(waiting.pop(number))
                elif fault["SenderFault"] or pause is None:
                    del waiting[number]
                    yield Result(image.key, "not_sent", error=f"SQS refused it: {fault.get('Message', fault['Code'])}")
            if waiting and pause:
                time.sleep(pause)

    def _sqs_refuses(self, jobs: Mapping[str, Image]) -> dict[str, Mapping[str, Any]]:
        bucket = self._names.input_bucket
        entries = [{"Id": number, "MessageBody": job(bucket, image)} for number, image in jobs.items()]
        answer = self._clients["sqs"].send_message_batch(QueueUrl=self._names.jobs_queue_url, Entries=entries)
        return {fault["Id"]: fault for fault in answer.get("Failed", ())}

    def _accepted(self, image: Image) -> Iterator[Result]:
        self.sent += 1
        if self._wait:
            self._pending[image.key] = _Pending(image, look_at=time.monotonic() + 2)
        else:
            yield Result(image.key, "sent")

    def _poll(self) -> Iterator[Result]:
        """One look at the table; a look that fails is no news, and the next one may succeed."""
        if not self._pending:
            return
        decided: list[Result] = []
        self._trouble = None
        try:
            found = catalog.rows(self._clients, self._names.table, list(self._pending))
            unsure = []
            for key, one in self._pending.items():
                record = found.get(key)
                if record is None and one.image.revision is None:
                    unsure.append(one)
                elif result := self._decide(one, record):
                    decided.append(result)
            decided += self._deleted(unsure)
        except Exception as error:
            if not is_remote(error):
                raise
            self._trouble = error
        for result in decided:
            del self._pending[result.key]
        yield from decided

    def _decide(self, one: _Pending, record: ImageRecord | None) -> Result | None:
        if record is None:
            return Result(one.image.key, "deleted", error=_GONE)
        # Whoever wrote the row anew looked at what S3 serves: this job, or that of a newer upload.
        state = None if record.revision == one.image.revision else one.verdict.of(record)
        return Result(one.image.key, state, record) if state else None

    def _deleted(self, unsure: Iterable[_Pending]) -> Iterator[Result]:
        """Of images that never had a row, those that S3 has no more, as far as it says so at once: as in Waiter."""
        for one in sorted(unsure, key=lambda one: one.look_at):
            if (now := time.monotonic()) < one.look_at:
                return
            one.look_at = now + 2
            if serves(self._clients, self._names.input_bucket, one.image.key) is not None:
                return
            yield Result(one.image.key, "deleted", error=_GONE)

    def _give_up(self) -> Iterator[Result]:
        why = f"; the last look failed: {explain(self._trouble).message}" if self._trouble else ""
        for key, one in self._pending.items():
            if one.verdict.crashed:
                yield Result(key, "failed", one.verdict.crashed)
            else:
                yield Result(key, "timed_out", error=f"no new record after {self._timeout:g} s without news{why}")
        self._pending.clear()
