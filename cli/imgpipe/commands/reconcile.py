"""`imgpipe reconcile`: compare bucket, table and outputs, and mend what is off."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Span
from imgpipe.errors import ExitStatus, ImgpipeError, usage

if TYPE_CHECKING:
    from imgpipe.reconcile import Finding, Reconciliation

EXAMPLES = """
imgpipe reconcile
imgpipe reconcile --fix
imgpipe reconcile --fix --older-than 6h
imgpipe reconcile --json
"""

UNASKED = 100
"""So many things are mended on AWS, where each costs a little, before somebody is asked."""

_DETAILS = 1000  # listed in the JSON document, which is held in memory until the end
_KINDS = {
    "no_row": ("object without a row", "objects without a row"),
    "no_object": ("row without an object", "rows without an object"),
    "stale": ("row of another version", "rows of another version"),
    "missing_outputs": ("image with missing outputs", "images with missing outputs"),
    "orphan_outputs": ("attempt's orphan outputs", "attempts' orphan outputs"),
}


def reconcile(
    ctx: typer.Context,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is off, instead of only saying so.")] = False,
    older_than: Annotated[
        str | None,
        typer.Option(
            help="What is younger may be under way, and its outputs stay (default: 1h on aws, else 3m).", metavar="AGE"
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Give up after this many seconds without news.", metavar="SECONDS")
    ] = 60,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, however much there is on AWS.")] = False,
) -> None:
    """Compare bucket, table and outputs: what should be there and is not, and what is there and should not be.

    An object without a row, a row without its object or about another version, and outputs that are missing are mended
    by the function: --fix sends a job for each and waits. Outputs that no row lists are deleted, once they are older
    than --older-than, which has to be longer than the function's timeout. What changed of late, while the queue is not
    empty, is under way and not off. Exit status 3 when something is off, or is still off after --fix.
    """
    from imgpipe.reconcile import EMULATED, ON_AWS, Reconciliation

    invocation = Invocation.of(ctx)
    ages = ON_AWS if invocation.config.target == "aws" else EMULATED
    if older_than is not None:
        safe = _age(older_than)
        ages = replace(ages, safe=safe, arrived=min(safe, ages.arrived))
    clients, names = invocation.open()
    work = Reconciliation(clients, names, ages)
    said = _Said(invocation)
    try:
        with invocation.console.steps() as progress:
            work.compare(progress)
        said.checked(work)
        if fix and invocation.config.target == "aws" and not yes:
            _ask_if_costly(invocation, sum(work.compared.count()))
        _images(work, said, fix, timeout)
        for finding in work.orphans(delete=fix):
            said.hear(finding)
    except KeyboardInterrupt:
        done = f"{said.mended} mended" if fix else "nothing was changed"
        hint = invocation.command("reconcile" + " --fix" * fix + (f" --older-than {older_than}" if older_than else ""))
        raise ImgpipeError("interrupted", f"Interrupted: {done}.", hint, ExitStatus.INTERRUPTED) from None
    finally:
        work.compared.close()
    said.finish(work, fix)


def _age(text: str) -> float:
    from imgpipe.logs import parse_age

    if (seconds := parse_age(text)) is None:
        raise usage(f"--older-than cannot be {text!r}.", "use 90s, 10m, 2h or 7d")
    return seconds


def _ask_if_costly(invocation: Invocation, many: int) -> None:
    if many > UNASKED:
        place = f"{invocation.config.region}, stage {invocation.config.stage}"
        invocation.agree(f"Mend up to {many:,} images and outputs on AWS ({place})?", "Nothing was mended.")


def _images(work: Reconciliation, said: _Said, fix: bool, timeout: float) -> None:
    total = work.compared.count()[0]
    with said.console.bar("Mending" if fix else "Looking again", total) as progress:
        if fix:
            for result in work.mend(said.hear, progress, timeout):
                said.result(result.key, result.state, result.error)
            return
        for number, finding in enumerate(work.findings()):
            if finding is not None:
                said.hear(finding)
            progress(number + 1)


class _Said:
    """Draws what is found, as it is found, and counts it."""

    def __init__(self, invocation: Invocation) -> None:
        self.invocation, self.console = invocation, invocation.console
        self.found: Counter[str] = Counter()
        self.fixed: Counter[str] = Counter()
        self.under_way = self.mended = self.waiting = 0
        self._details: list[dict[str, Any]] = []
        self._omitted = 0

    def checked(self, work: Reconciliation) -> None:
        self.waiting = work.waiting()
        if self.waiting:
            self.console.note(f"About {self.waiting:,} messages are in the queue: what looks off may be under way.")

    def hear(self, finding: Finding) -> None:
        if finding.under_way:
            self.under_way += 1
        else:
            self.found[finding.kind] += 1
        if finding.deleted:
            self.fixed["attempts"] += 1
            self.mended += 1
        style = "dim" if finding.under_way else "warn"
        what = "under way" if finding.under_way else "deleted" if finding.deleted else finding.kind.replace("_", " ")
        why = f"; {finding.under_way}" if finding.under_way else ""
        self.console.line(Span(f"{what.upper():<15}", style), " ", finding.image_key, f": {finding.detail}{why}")
        if not self.console.json:
            return
        if len(self._details) == _DETAILS:
            self._omitted += 1
            return
        told = {"kind": finding.kind, "image_key": finding.image_key, "detail": finding.detail}
        told |= {"under_way": finding.under_way} if finding.under_way else {}
        uris = {"outputs": [f"s3://{one.bucket}/{one.key}" for one in finding.outputs]} if finding.outputs else {}
        self._details.append({**told, **uris})

    def result(self, key: str, state: str, error: str) -> None:
        if state in ("ready", "failed", "deleted"):
            self.fixed["images"] += 1
            self.mended += 1
            self.console.line(Span(f"{state.upper():<15}", "good"), " ", key)
        else:
            self.console.line(Span(f"{state.replace('_', ' ').upper():<15}", "bad"), " ", key, f": {error}")

    def finish(self, work: Reconciliation, fix: bool) -> None:
        compared = work.compared
        left = self.found.total() - self.mended
        checked = {"objects": compared.objects, "rows": compared.rows, "outputs": compared.outputs}
        if self.console.json:
            self.console.emit(
                {
                    "checked": {**checked, "foreign": compared.foreign},
                    "found": {kind: self.found[kind] for kind in _KINDS},
                    "under_way": self.under_way,
                    "fixed": {kind: self.fixed[kind] for kind in ("images", "attempts")} if fix else None,
                    "left": left,
                    "in_queue": self.waiting,
                    "details": self._details,
                    "details_omitted": self._omitted,
                }
            )
        else:
            self._summary(checked, compared.foreign, left, fix)
        if left or work.unfinished:
            raise typer.Exit(ExitStatus.INCOMPLETE)

    def _summary(self, checked: dict[str, int], foreign: int, left: int, fix: bool) -> None:
        note = self.console.note
        note("Compared " + ", ".join(f"{count:,} {what}" for what, count in checked.items()) + ".")
        found = [
            f"{self.found[kind]:,} {words[self.found[kind] != 1]}" for kind, words in _KINDS.items() if self.found[kind]
        ]
        fixed = f"; {self.mended:,} mended" if fix and found else ""
        note(Span(", ".join(found) + fixed if found else "Nothing is off.", "strong"))
        if self.under_way:
            note(f"{self.under_way:,} under way, and left alone for now: look again in a while.")
        if foreign:
            note(f"{foreign:,} objects in the buckets of outputs are not the pipeline's, and were left alone.")
        if left and fix:
            note(f"{left:,} left: ", Span(self.invocation.command("status"), "name"), ", then the same command again.")
        elif left:
            self.console.hint(self.invocation.command("reconcile --fix"))
