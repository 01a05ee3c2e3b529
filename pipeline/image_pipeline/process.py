"""One event in, one outcome out: make the row say what S3 holds now.

An event is a hint. The worker looks at what S3 serves and at what the row says, and makes the row true; so duplicates,
late and reordered events, redrives and reprocessing are all the same case. Read `settle` from top to bottom.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import unquote

from image_pipeline.catalog import Catalog
from image_pipeline.events import ImageEvent
from image_pipeline.faults import CommitUnknownError, TransientError
from image_pipeline.record import Failure, ImageRecord, Output, Refusal, RefusedError, Status
from image_pipeline.renditions import render_stream
from image_pipeline.settings import Settings
from image_pipeline.storage import Served, Storage, iso
from image_pipeline.stream import Arriving
from image_pipeline.telemetry import logger

MOST_ROUNDS = 8
"""How often a worker starts again because somebody changed the row or the object meanwhile."""

MOST_DEBRIS = 1000
ABANDONED = "abandoned"
"""The revision that no row has: such outputs are dead already."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one event led to.

    `record` is the row that was committed; None after a deletion or when nothing changed. `passing` says that the
    image may not be read for now: permission may still be given, so another look is worth it.
    """

    what: str  # "ready", "failed", "deleted" or "unchanged"
    record: ImageRecord | None = None
    passing: bool = False


@dataclass(frozen=True, slots=True)
class _Debris:
    """Outputs of an image that a fault may have left behind: dead as soon as its row is not the one of `revision`.

    A commit that got no answer may still arrive, and then makes its outputs live and those of the replaced row dead.
    """

    key: str
    revision: str | None  # None: while there is no row
    outputs: list[Output]


@dataclass(slots=True)
class Worker:
    """Settles events against one stack. `request_id` is the invocation that is under way.

    It remembers debris from one delivery to the next; what dies with the process is left to `imgpipe reconcile`.
    """

    settings: Settings
    storage: Storage
    catalog: Catalog
    request_id: str = ""
    _unanswered: bool = False
    _debris: deque[_Debris] = field(default_factory=lambda: deque(maxlen=MOST_DEBRIS))

    def settle(self, event: ImageEvent, *, last_receive: bool = False) -> Outcome:
        """Make the row of `event.key` say what S3 serves; raises TransientError when that has to be tried again.

        With `last_receive` there is no later try: FAILED(crashed) is committed before the work begins, so that a
        worker that dies of it still leaves its reason.
        """
        self._unanswered = False
        outcome = self._settle(event, last_receive)
        # Another try at a forced event would make everything again, and leave more.
        if not event.force and any(one.revision is ABANDONED for one in self._debris if one.key == event.key):
            raise TransientError("Outputs that no row lists could not be deleted")
        return outcome

    def _settle(self, event: ImageEvent, last_receive: bool) -> Outcome:
        outcome = Outcome("unchanged")
        force = event.force
        for _ in range(MOST_ROUNDS):
            row = self.catalog.read(event.key)
            started = time.perf_counter()
            served = self.storage.open(event.key)
            passing = served is not None and served.passing
            if not force and self._says_so(row, served):
                self._close(served)
                self._sweep(event.key, row)
                # "Not there" is asked twice, for nothing else would ever lead here again.
                found = self.storage.look(event.key) if served is None else None
                if found is not None and found.source.etag is not None:
                    continue
                return replace(outcome, passing=passing)
            record = None
            if served is not None:
                if last_receive and not self._says_so(row, served):
                    crashed = self._crashed(served, event, Refusal.CRASHED.sentence, row)
                    if not self._commit(event.key, crashed, replacing=row):
                        self._close(served)
                        continue
                    row = crashed
                record = self._make(served, event, started)
            if not self._commit(event.key, record, replacing=row):
                continue
            force = False
            outcome = Outcome(record.status.lower(), record, passing) if record else Outcome("deleted")
            now = self.storage.look(event.key)
            if (now is None) if record is None else (now is not None and now.is_in(record)):
                return outcome
        raise TransientError(f"The object or its row changed {MOST_ROUNDS} times while it was worked on")

    def give_up(self, event: ImageEvent, reason: str) -> bool:
        """Leave FAILED(crashed) with `reason` for an image whose last receive failed; False if its row says better."""
        row = self.catalog.read(event.key)
        served = self.storage.look(event.key)
        if served is None or self._says_so(row, served):
            return False
        return self._commit(event.key, self._crashed(served, event, reason, row), replacing=row)

    def _says_so(self, row: ImageRecord | None, served: Served | None) -> bool:
        """Whether the row is already what it should be.

        A crash is no verdict, for a redrive tries again; nor is a denial once the object may be read.
        """
        if row is None or served is None:
            return row is None and served is None
        code = row.failure and row.failure.code
        overruled = code is Refusal.CRASHED or (code is Refusal.FORBIDDEN and served.body is not None)
        return served.is_in(row) and row.recipe == self.settings.recipe.digest and not overruled

    def _make(self, served: Served, event: ImageEvent, started: float) -> ImageRecord:
        """The record of what is served, its outputs written; FAILED when the image is refused.

        Of the timings, `get` is all that S3 was waited for; decoding goes on meanwhile, and is counted apart.
        """
        recipe = self.settings.recipe
        asked = _since(started)
        arriving: Arriving | None = None
        try:
            arriving = served.arriving(recipe.limits.max_bytes)
            rendered = render_stream(arriving, recipe)
        except RefusedError as refused:
            if refused.__cause__ is not None:
                logger.info("Refused, for the decoder said %r", refused.__cause__)
            timings = {"get": asked + round(1000 * arriving.waited)} if arriving else {}
            timings["total"] = _since(started)
            return replace(self._failed(served, event, refused.code, refused.reason), timings_ms=timings)
        finally:
            served.close()
        timings = {"get": asked + round(1000 * arriving.waited), **rendered.timings_ms}
        putting = time.perf_counter()
        attempt = secrets.token_hex(6)
        place = self.storage.place
        made = [(place(event.key, attempt, one), one.data) for one in rendered.renditions]
        thumbnail: Output | None = None
        if rendered.thumbnail is not None:
            thumbnail = place(event.key, attempt, rendered.thumbnail, thumbnail=True)
            made.append((thumbnail, rendered.thumbnail.data))
        try:
            self.storage.put(made)
        except BaseException:
            # Now, and once more at the next receive: an upload that got no answer may still arrive.
            outputs = [output for output, _ in made]
            self._remove(event.key, outputs)
            self._abandon(event.key, outputs)
            raise
        timings["put"] = _since(putting)
        timings["total"] = _since(started)
        return replace(
            self._record(served, event),
            status=Status.READY,
            format=rendered.format,
            content_type=rendered.content_type,
            width=rendered.width,
            height=rendered.height,
            mode=rendered.mode,
            frames=rendered.frames,
            sha256=arriving.sha256,
            renditions=tuple(output for output, _ in made if output is not thumbnail),
            thumbnail=thumbnail,
            exif=rendered.exif,
            dominant_colour=rendered.dominant_colour,
            notes=rendered.notes,
            timings_ms=timings,
        )

    def _record(self, served: Served, event: ImageEvent) -> ImageRecord:
        """The part of a record that is known before the bytes are looked at; its status is provisional."""
        return ImageRecord(
            image_key=event.key,
            status=Status.FAILED,
            file_name=event.key.rsplit("/", 1)[-1] or event.key,
            user=_user(served.metadata, event.principal),
            uploaded_at=served.uploaded_at,
            source=served.source,
            recipe=self.settings.recipe.digest,
            revision=secrets.token_hex(8),
            processed_at=iso(datetime.now(UTC)),
            request_id=self.request_id,
        )

    def _failed(self, served: Served, event: ImageEvent, code: Refusal, reason: str) -> ImageRecord:
        return replace(self._record(served, event), failure=Failure(code=code, reason=reason))

    def _crashed(self, served: Served, event: ImageEvent, reason: str, row: ImageRecord | None) -> ImageRecord:
        """What stands in the row when a worker dies of its last attempt; what earlier work made of it is kept."""
        failed = self._failed(served, event, Refusal.CRASHED, reason)
        if row is None or row.source != served.source:
            return failed
        return replace(failed, renditions=row.renditions, thumbnail=row.thumbnail)

    def _commit(self, key: str, record: ImageRecord | None, *, replacing: ImageRecord | None) -> bool:
        """Swap the row, then remove the outputs that lost: the replaced row's, or this record's own. True if it won.

        Raises TransientError where the table refused, or gave no answer twice; once, and the caller starts again.
        """
        kept = replacing.outputs if replacing else ()
        outputs = record.outputs if record else ()
        made, stale = [one for one in outputs if one not in kept], [one for one in kept if one not in outputs]
        debris = _Debris(key, replacing.revision if replacing else None, made + stale)
        try:
            won = self.catalog.commit(key, record, replacing=replacing)
        except CommitUnknownError:
            self._debris.append(debris)
            row = self.catalog.read(key)
            self._sweep(key, row)
            if row is None if record is None else row is not None and row.revision == record.revision:
                return True
            if self._unanswered:
                raise
            self._unanswered = True
            return False
        except TransientError:
            self._remove(key, made)
            raise
        self._remove(key, stale if won else made)
        if won:
            self._sweep(key, record)
        return won

    def _sweep(self, key: str, row: ImageRecord | None) -> None:
        """Remove the debris of this image that can no longer become live, because the row has moved on."""
        revision = row.revision if row else None
        live = row.outputs if row else ()
        for debris in [one for one in self._debris if one.key == key and one.revision != revision]:
            self._debris.remove(debris)
            self._remove(key, [output for output in debris.outputs if output not in live])

    def _remove(self, key: str, outputs: Sequence[Output]) -> None:
        left = self.storage.remove(outputs)
        for output in left:
            logger.warning("An output that no row lists could not be deleted", extra={"output": output.uri})
        if left:
            self._abandon(key, left)

    def _abandon(self, key: str, outputs: list[Output]) -> None:
        self._debris.append(_Debris(key, ABANDONED, outputs))

    @staticmethod
    def _close(served: Served | None) -> None:
        if served is not None:
            served.close()


def _user(metadata: Mapping[str, str], principal: str | None) -> str:
    """Who uploaded it: the object's own word, else the caller that S3 saw; at most 256 bytes."""
    name = unquote(metadata.get("user", "")).strip() or (principal or "").strip() or "unknown"
    return name.encode()[:256].decode(errors="ignore")


def _since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
