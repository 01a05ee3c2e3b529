"""What was measured, as tables on a terminal, as one JSON document, and as docs/benchmarks.md with its charts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.charts import svg
from benchmarks.harness import Chart, Part, Table
from benchmarks.targets import Judged


@dataclass(frozen=True)
class Failure:
    """A part that could not be run; `trace` is Python's own, where the reason is a fault of the program."""

    part: str
    reason: str
    trace: str


@dataclass(frozen=True)
class Report:
    """One run of the program. `started` is in seconds since 1970."""

    command: str
    started: float
    seconds: float
    quick: bool
    machine: dict[str, str]
    parts: list[Part]
    failures: list[Failure]
    judged: list[Judged]


def document(report: Report) -> dict[str, Any]:
    """Everything, for a program."""
    made = asdict(report)
    made["judged"] = [
        {
            "target": one.target.key,
            "title": one.target.title,
            "bound": one.target.bound,
            "value": one.value,
            "verdict": one.verdict,
            "detail": one.detail,
        }
        for one in report.judged
    ]
    return made


def show(report: Report) -> None:
    """Print every table, what is missing, and the targets last. Styled on a terminal, plain in a pipe."""
    from rich.console import Console

    # A pipe has no width of its own, and a row that is broken in two is of no use to grep.
    console = Console() if os.isatty(1) else Console(width=240)
    for part in report.parts:
        for table in part.tables:
            _print(console, table)
        for line in part.missing:
            console.print(f"{part.name}: {line}", markup=False, highlight=False)
    for failure in report.failures:
        console.print(f"{failure.part} failed: {failure.reason}", markup=False, highlight=False)
        if failure.trace:
            console.print(failure.trace, markup=False, highlight=False)
    _print(console, targets_table(report.judged), {"met": "green", "missed": "bold red", "not measured": "yellow"})
    console.print(verdict(report.judged), markup=False, highlight=False)


def targets_table(judged: list[Judged]) -> Table:
    """The issue of it all: every target beside what was measured."""
    rows = [[one.target.title, one.target.bound, one.shown, one.verdict, one.detail] for one in judged]
    return Table("Targets", ["", "target", "measured", "verdict", "medians"], rows)


def verdict(judged: list[Judged]) -> str:
    """One line: how many targets are met, missed and not measured."""
    counts = {word: sum(one.verdict == word for one in judged) for word in ("met", "missed", "not measured")}
    said = [f"{count} {word}" for word, count in counts.items() if count]
    return f"Targets: {', '.join(said)}." if said else "No target belongs to what was run."


def _print(console: Any, table: Table, styles: dict[str, str] | None = None) -> None:
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(table.columns):
        drawn.add_column(Text(column), justify="right" if place and numeric(table, place) else "left")
    for row in table.rows:
        drawn.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in row))
    console.print(table.title, style="bold", markup=False, highlight=False)
    console.print(drawn)
    if table.note:
        console.print(table.note + "\n", style="dim", markup=False, highlight=False)


def numeric(table: Table, place: int) -> bool:
    """Whether every cell of a column is a figure, or says that there is none."""
    return all(row[place][:1] in "0123456789≤≥—-+$<" for row in table.rows)


def write_pages(report: Report, docs: Path) -> list[Path]:
    """Write benchmarks.md and its charts into `docs`, and take away charts of earlier runs; what was written."""
    folder = docs / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    charts = {f"{part.name}-{chart.name}.svg": chart for part in report.parts for chart in part.charts if chart.bars}
    for old in folder.glob("*.svg"):
        if old.name not in charts:
            old.unlink()
    written = [docs / "benchmarks.md", *(folder / name for name in charts)]
    written[0].write_text("\n".join(page(report)) + "\n", "utf-8")
    for name, chart in charts.items():
        (folder / name).write_text(svg(chart), "utf-8")
    return written


def page(report: Report) -> Iterator[str]:
    """The lines of benchmarks.md."""
    day = time.strftime("%Y-%m-%d", time.gmtime(report.started))
    yield "# Benchmarks"
    yield ""
    yield f"Written by `{report.command}` on {day}, in {report.seconds / 60:.0f} minutes. To run it yourself, anywhere:"
    yield ""
    yield "```bash"
    yield "./scripts/bench"
    yield "```"
    yield ""
    if report.quick:
        yield "This was a quick run: few turns, rough figures."
        yield ""
    first = next((table for part in report.parts for table in part.tables), None)
    if first:
        yield from _section(first, 2)
    yield "## Targets"
    yield ""
    yield verdict(report.judged)
    yield ""
    yield from _markdown(targets_table(report.judged))
    yield ""
    for one in report.judged:
        if one.verdict != "met" and one.target.why:
            yield from (f"{one.target.title}: {one.verdict}. {one.target.why}", "")
    for part in report.parts:
        yield from _part(part, first)
    for failure in report.failures:
        yield from (f"## {failure.part.capitalize()}", "", f"It failed: {failure.reason}", "")
    yield from _conditions(report)


def _part(part: Part, shown: Table | None) -> Iterator[str]:
    yield f"## {part.name.capitalize()}"
    yield ""
    for note in part.notes:
        yield from (note, "")
    for chart in part.charts:
        if chart.bars:
            yield from (f"![{_alternative(chart)}](benchmarks/{part.name}-{chart.name}.svg)", "")
    for table in part.tables:
        if table is not shown:
            yield from _section(table, 3)
    if part.missing:
        yield from ("Not measured:", "", *(f"- {line}" for line in part.missing), "")


def _alternative(chart: Chart) -> str:
    """What a chart says to who cannot see it."""
    return f"{chart.title}, {chart.unit}, by contender".replace("]", ")").replace("[", "(")


def _section(table: Table, level: int) -> Iterator[str]:
    yield f"{'#' * level} {table.title}"
    yield ""
    yield from _markdown(table)
    yield ""
    if table.note:
        yield from (table.note, "")


def _markdown(table: Table) -> Iterator[str]:
    yield "| " + " | ".join(_cell(column) for column in table.columns) + " |"
    sides = ["---:" if place and numeric(table, place) else "---" for place in range(len(table.columns))]
    yield "|" + "|".join(sides) + "|"
    for row in table.rows:
        yield "| " + " | ".join(_cell(cell) for cell in row) + " |"


def _cell(text: str) -> str:
    return {"met": "✓ met", "missed": "**✗ missed**"}.get(text, text.replace("|", "\\|"))


def _conditions(report: Report) -> Iterator[str]:
    yield "## Conditions"
    yield ""
    versions = {name: version for part in report.parts for name, version in part.versions.items()}
    rows = [[name, value] for name, value in {**report.machine, **versions}.items()]
    yield from _markdown(Table("", ["", ""], rows))
    yield ""
    yield (
        "Every contender hashes the file with SHA-256, which takes several times as long on a processor without "
        "instructions for it: the same time for all, which pulls every quotient towards 1."
    )
