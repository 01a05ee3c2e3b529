"""Bucket, table and outputs held against each other: what is off, and the jobs and deletions that mend it.

The three are read one after the other while the pipeline works, so a disagreement is only a suspicion. Each is looked
at again, twice, before it is a finding; and a finding that a worker may be about to settle is under way, not off.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from image_pipeline.record import ImageRecord
from imgpipe import catalog, inventory
from imgpipe.aws import Clients
from imgpipe.comparison import Comparison, Suspect, Unlisted, identity, says
from imgpipe.images import is_folder, serves
from imgpipe.queues import depths
from imgpipe.reprocess import Image, Reprocessing, Result
from imgpipe.stack.names import StackOutputs
from imgpipe.words import counted

T = TypeVar("T")
Kind = Literal["no_row", "no_object", "stale", "missing_outputs", "orphan_outputs"]

_THREADS = 16  # calls at once for single objects
_AT_ONCE = 100  # suspects examined together: as many as the table answers for at once
_ATTEMPTS_AT_ONCE = 25  # small, for the rows are read right before outputs are deleted
_HIDDEN = ("403", "AccessDenied")


@dataclass(frozen=True, slots=True)
class Ages:
    """In seconds: how long an event may take to reach the queue, and how long an attempt may take to commit.

    What is younger than `arrived` is always under way, what is younger than `safe` while the queue is not empty. An
    output without a row is deleted only when it is older than `safe`, for an attempt writes its outputs first.
    """

    arrived: float
    safe: float


ON_AWS, EMULATED = Ages(60, 3600), Ages(2, 180)


@dataclass(frozen=True, slots=True)
class Finding:
    """An image, or one attempt's outputs, about which the three disagree. `under_way` says why that may still pass."""

    kind: Kind
    image_key: str
    detail: str
    under_way: str = ""
    outputs: tuple[Unlisted, ...] = ()
    image: Image | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class _Look:
    """What S3 serves, what the row says, and the URIs that the row lists and S3 has not."""

    served: str | None
    changed: float | None
    row: ImageRecord | None
    missing: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind | None:
        if self.row is None or self.served is None:
            return None if self.row is None and self.served is None else "no_row" if self.row is None else "no_object"
        if not says(*_known(self.row), self.served, self.changed):
            return "stale"
        return "missing_outputs" if self.missing else None

    def is_like(self, other: _Look) -> bool:
        return (self.kind, self.served, _revision(self.row)) == (other.kind, other.served, _revision(other.row))


@dataclass(slots=True)
class Reconciliation:
    """One comparison and what follows from it: `compare`, then `findings` or `mend`, then `orphans`."""

    clients: Clients
    names: StackOutputs
    ages: Ages
    unfinished: bool = False
    compared: Comparison = field(default_factory=Comparison)
    _ahead: float = 0.0  # of our clock, the one that dates objects

    def compare(self, progress: Callable[[str], None]) -> None:
        """Read table, bucket and outputs once, page by page; `progress` is told how far and how fast."""
        self._ahead = inventory.take(self.clients, self.names, self.compared, progress)

    def waiting(self) -> int:
        """Messages that wait, are held or are delayed; SQS says "approximately"."""
        return depths(self.clients, self.names.jobs_queue_url).total

    def findings(self) -> Iterator[Finding | None]:
        """The images that are off or under way; None for each suspect that is as it should be after all."""
        for suspects in _batches(self.compared.suspects(), _AT_ONCE):
            first = self._look(suspects)
            doubtful = [one for one in suspects if first[one.image_key].kind]
            second = self._look(doubtful)
            busy = bool(doubtful) and self.waiting() > 0
            for one in suspects:
                again = second.get(one.image_key)
                yield self._finding(one, first[one.image_key], again, busy) if again else None

    def mend(
        self, told: Callable[[Finding], None], progress: Callable[[int], None], timeout: float
    ) -> Iterator[Result]:
        """Have the worker look at every image that is off, and yield what became of each.

        `told` hears of each finding first; `progress` how many suspects need no more attention. Gives up, and sets
        `unfinished`, when there is no news for `timeout` seconds.
        """

        def images() -> Iterator[Image | None]:
            for finding in self.findings():
                if finding is not None:
                    told(finding)
                yield finding.image if finding is not None and not finding.under_way else None

        work = Reprocessing(self.clients, self.names, wait=True, timeout=timeout)
        yield from work.results(images(), progress)
        self.unfinished = work.unfinished

    def orphans(self, *, delete: bool) -> Iterator[Finding]:
        """The outputs that still no row lists, by attempt; deleted with `delete`, where they are old enough."""
        attempts = itertools.groupby(self.compared.unlisted(), key=lambda one: (one.owner, one.attempt))
        for batch in _batches((list(outputs) for _, outputs in attempts), _ATTEMPTS_AT_ONCE):
            there = self._each(self._is_there, [one for outputs in batch for one in outputs])
            # Read last: a commit that came meanwhile keeps what it lists.
            rows = self._rows_that_may_list(batch)
            for outputs in batch:
                owner = outputs[0].owner
                owners = [key for key in (owner, self.compared.behind(owner)) if key]
                listed = {(own.bucket, own.key) for key in owners if key in rows for own in rows[key].outputs}
                left = [one for one in outputs if there[one] and (one.bucket, one.key) not in listed]
                if left:
                    yield self._orphan(owners[-1], left, delete)

    def _orphan(self, key: str, outputs: list[Unlisted], delete: bool) -> Finding:
        age = self._age(max(one.changed for one in outputs))
        size = sum(one.bytes for one in outputs)
        detail = f"{counted(len(outputs), 'output')} of attempt {outputs[0].attempt}, {size:,} bytes"
        if age < self.ages.safe:
            why = f"written {_ago(age)} ago, and a worker may be about to commit it"
            return Finding("orphan_outputs", key, detail, why, tuple(outputs))
        if delete:
            self._each(lambda one: self.clients["s3"].delete_object(Bucket=one.bucket, Key=one.key), outputs)
        return Finding("orphan_outputs", key, detail, outputs=tuple(outputs), deleted=delete)

    def _rows_that_may_list(self, attempts: Iterable[list[Unlisted]]) -> dict[str, ImageRecord]:
        owners = {outputs[0].owner for outputs in attempts}
        hashed = {key for owner in owners if (key := self.compared.behind(owner))}
        return catalog.rows(self.clients, self.names.table, sorted(owners | hashed))

    def _finding(self, suspect: Suspect, first: _Look, look: _Look, busy: bool) -> Finding | None:
        if look.kind is None:
            return None
        changed = look.changed if look.served is not None else suspect.changed
        age = self._age(changed) if changed is not None else float("inf")
        row = look.row
        # The user of a row about another object is not whose this one is.
        user = row.user if row is not None and look.kind == "missing_outputs" else None
        image = Image(suspect.image_key, _revision(row), user)
        why = ""
        if not look.is_like(first):
            why = "it changed while it was looked at"
        elif look.kind != "missing_outputs" and (age < self.ages.arrived or (busy and age < self.ages.safe)):
            why = f"it changed {_ago(age)} ago" + (", and the queue is not empty" if busy else "")
        return Finding(look.kind, suspect.image_key, _words(look), why, image=image)

    def _look(self, suspects: list[Suspect]) -> dict[str, _Look]:
        served = self._each(self._serves, suspects)
        rows = catalog.rows(self.clients, self.names.table, [one.image_key for one in suspects])
        looks = {one.image_key: _Look(*served[one], rows.get(one.image_key)) for one in suspects}
        # Of what is off anyway, all outputs are made again.
        listed = [own for look in looks.values() if look.kind is None and look.row for own in look.row.outputs]
        there = self._each(self._is_there, listed)
        for key, look in looks.items():
            if look.kind is None and look.row and (gone := tuple(o.uri for o in look.row.outputs if not there[o])):
                looks[key] = _Look(look.served, look.changed, look.row, gone)
        return looks

    def _serves(self, suspect: Suspect) -> tuple[str | None, float | None]:
        """What S3 serves under a key: its identity and when it was made; of what is hidden, as it was listed."""
        from botocore.exceptions import ClientError

        try:
            answer = serves(self.clients, self.names.input_bucket, suspect.image_key)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _HIDDEN:
                raise
            return suspect.identity, suspect.changed
        if answer is None or is_folder(suspect.image_key, answer):
            return None, None
        return inventory.served(answer), answer["LastModified"].timestamp()

    def _is_there(self, output: Any) -> bool:
        return serves(self.clients, output.bucket, output.key) is not None

    def _each(self, call: Callable[[Any], T], these: Iterable[Any]) -> dict[Any, T]:
        """What `call` says of each, some of them asked at once."""
        these = list(these)
        if not these:
            return {}
        with ThreadPoolExecutor(_THREADS) as pool:
            return dict(zip(these, pool.map(call, these), strict=True))

    def _age(self, changed: float) -> float:
        return max(0.0, time.time() + self._ahead - changed)


def _batches(these: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(these)
    while batch := list(itertools.islice(rest, size)):
        yield batch


def _known(row: ImageRecord) -> tuple[str | None, float]:
    source = row.source
    known = identity(source.version_id, source.etag, row.uploaded_at) if source.etag else None
    return known, inventory.seconds(row.processed_at)


def _revision(row: ImageRecord | None) -> str | None:
    return row.revision if row else None


def _words(look: _Look) -> str:
    if look.kind == "missing_outputs":
        is_or_are = "is" if len(look.missing) == 1 else "are"
        return f"{counted(len(look.missing), 'output')} that the row lists {is_or_are} not there: {look.missing[0]}"
    return {
        "no_row": "the object has no row",
        "no_object": "the row has no object",
        "stale": "the row is about another version than S3 serves",
    }[look.kind or "stale"]


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
