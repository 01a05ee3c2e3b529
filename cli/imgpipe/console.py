"""The only place that draws or prints: words for people, plain lines for pipes, one JSON document for programs."""

from __future__ import annotations

import json as jsonlib
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console as Rich
    from rich.padding import Padding
    from rich.text import Text

    from imgpipe.errors import ImgpipeError
    from imgpipe.targets.base import Progress

_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
    r"\xad\u200b\u2060-\u2064\ufeff\U000e0000-\U000e007f]"
)
"""What may not reach a terminal from a key, a name or EXIF: control characters, line and direction changes, and what
nobody sees, with which two keys look like one. The joiners stay, for Persian and emoji are written with them.
"""

STYLES = {"good": "green", "bad": "red", "warn": "yellow", "dim": "dim", "strong": "bold", "name": "cyan"}


class Span(NamedTuple):
    """A piece of text with a meaning; the colours are STYLES'."""

    text: str
    style: str


Piece = str | Span
Cell = Piece | tuple[Piece, ...]


def safe(text: str) -> str:
    r"""`text` with everything that could move a cursor or hide a name written as \x1b, \n or \u202e."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def plain(cell: Cell) -> str:
    """A cell without its styles."""
    if isinstance(cell, str):
        return cell
    return cell.text if isinstance(cell, Span) else "".join(plain(piece) for piece in cell)


class Console:
    """What a command says. With `json`, stdout carries one document; words go to stderr or nowhere."""

    def __init__(self, *, json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self.verbose = verbose
        self.terminal = _is_terminal(sys.stdout)
        self._drawing: dict[TextIO, Rich] = {}
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")

    def emit(self, document: Any) -> None:
        """Print the one JSON document of this command."""
        self._json(document, indent=2)

    def emit_line(self, document: Any) -> None:
        """Print one document of a stream: JSON Lines, each on its own line at once."""
        self._json(document, indent=None)

    def line(self, *pieces: Piece) -> None:
        """A line of the answer; nothing with --json."""
        if not self.json:
            self._write(sys.stdout, pieces)

    def note(self, *pieces: Piece) -> None:
        """A remark beside the answer, on stderr; nothing with --quiet."""
        if not self.quiet:
            self._write(sys.stderr, pieces)

    def hint(self, text: str) -> None:
        """What to type next: for people at a terminal, set apart from the answer."""
        if self.terminal and not self.json and not self.quiet:
            self.line()
            self.line(Span(text, "dim"))

    def error(self, error: ImgpipeError) -> None:
        """A failure: the sentence and the hint on stderr, or the error document on stdout."""
        if self.json:
            self.emit({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
            return
        self._write(sys.stderr, (Span("error: ", "bad"), error.message))
        if error.hint:
            self._write(sys.stderr, (Span(" hint: ", "dim"), error.hint))

    def traceback(self) -> None:
        """The traceback of the exception in hand, on stderr."""
        import traceback

        traceback.print_exc(file=sys.stderr)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Cell]], indent: int = 0) -> None:
        """Columns under a header on a terminal; lines of tab-separated values, without a header, in a pipe."""
        if self.json or not rows:
            return
        if not self.terminal:
            for row in rows:
                sys.stdout.write("\t".join(safe(plain(cell)) for cell in row) + "\n")
            return
        self._rich(sys.stdout).print(_columns(header, rows, indent))

    @contextmanager
    def redrawn(self) -> Iterator[Callable[[Piece, Sequence[Sequence[Cell]], Piece], None]]:
        """A title, columns and a remark, drawn in the place of the last ones; for a terminal only."""
        from rich.console import Group
        from rich.live import Live

        with Live(console=self._rich(sys.stdout), auto_refresh=False, redirect_stdout=False) as live:
            yield lambda title, rows, remark: live.update(
                Group(_text(title), "", _columns([""] * len(rows[0]), rows, 2), "", _text(remark)), refresh=True
            )

    def facts(self, pairs: Sequence[tuple[str, Cell]], title: str = "") -> None:
        """Names and values, one pair a line, below an optional title."""
        pairs = [(name, value) for name, value in pairs if plain(value)]
        if not pairs:
            return
        if title:
            self.line()
            self.line(Span(title, "strong"))
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            pieces = value if isinstance(value, tuple) and not isinstance(value, Span) else (value,)
            self.line("  ", Span(name.ljust(width), "dim"), "  ", *pieces)

    def confirm(self, question: str) -> bool | None:
        """Ask at a terminal, No being the default; None where there is nobody to ask."""
        answer = self._ask(question, " [y/N] ")
        return None if answer is None else answer.lower() in ("y", "yes")

    def confirm_by_name(self, question: str, name: str) -> bool | None:
        """Ask for a name to be typed, where a y by habit would cost too much; None where there is nobody to ask."""
        answer = self._ask(question, f" Type {name} to go on: ")
        return None if answer is None else answer == name

    def _ask(self, question: str, prompt: str) -> str | None:
        if self.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return None
        self._write(sys.stderr, (question, prompt), end="")
        return sys.stdin.readline().strip()

    @contextmanager
    def steps(self) -> Iterator[Progress]:
        """Progress of work in steps: a spinner with the current one on a terminal, else a line now and then."""
        if self.quiet or not _is_terminal(sys.stderr):
            yield _paced(self.note)
            return
        with self._rich(sys.stderr).status("") as status:
            yield lambda text: status.update(_text(Span(safe(text) + " …", "dim")))

    @contextmanager
    def bar(self, text: str, total: int) -> Iterator[Callable[[int], None]]:
        """Progress of a batch; what it yields takes how many are done. Draws on a terminal only."""
        if self.quiet or total < 2 or not _is_terminal(sys.stderr):
            yield lambda _: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        # On the screen that the lines go to, so that they push the bar down instead of running into it.
        screen = sys.stdout if self.terminal and not self.json else sys.stderr
        columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        console = self._rich(screen)
        with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as drawn:
            task = drawn.add_task(text, total=total)
            yield lambda done: drawn.update(task, completed=done)

    def _json(self, document: Any, indent: int | None) -> None:
        utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        text = jsonlib.dumps(document, indent=indent, ensure_ascii=not utf8)
        # The newlines of the layout are ours; inside strings, JSON has escaped them already.
        lines = (_UNSAFE.sub(lambda found: _json_escape(found[0]), line) for line in text.split("\n"))
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()

    def _write(self, stream: TextIO, pieces: Sequence[Piece], end: str = "\n") -> None:
        if _is_terminal(stream):
            line = _text(tuple(pieces))
            self._rich(stream).print(line, end=end, soft_wrap=True, highlight=False)
            return
        stream.write(safe("".join(plain(piece) for piece in pieces)) + end)
        stream.flush()

    def _rich(self, stream: TextIO) -> Rich:
        if stream not in self._drawing:
            from rich.console import Console as Rich

            colours = None if os.environ.get("NO_COLOR") else "auto"
            self._drawing[stream] = Rich(file=stream, color_system=colours, highlight=False)  # type: ignore[arg-type]
        return self._drawing[stream]


def _json_escape(character: str) -> str:
    """A character by its number or, as JSON has it beyond 16 bits, by the two of its surrogates."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _paced(note: Callable[[str], None]) -> Progress:
    """At most one line a second: a log wants to know that work goes on, not each of fifty steps."""
    last = float("-inf")

    def step(text: str) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= 1:
            last = now
            note(text)

    return step


def _is_terminal(stream: TextIO) -> bool:
    if os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty() or bool(os.environ.get("FORCE_COLOR") and not os.environ.get("NO_COLOR"))


def _columns(header: Sequence[str], rows: Sequence[Sequence[Cell]], indent: int) -> Padding:
    from rich.padding import Padding
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=STYLES["dim"], show_edge=False)
    table.show_header = any(header)
    for number, name in enumerate(header):
        # The last column is the one that may be long: a key, a path, an address.
        table.add_column(name, overflow="fold", no_wrap=number < len(header) - 1)
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    return Padding(table, (0, 0, 0, indent), expand=False)


def _text(cell: Cell) -> Text:
    from rich.text import Text

    text = Text()
    for piece in (cell,) if isinstance(cell, str | Span) else cell:
        if isinstance(piece, Span):
            text.append(safe(piece.text), STYLES[piece.style])
        else:
            text.append(safe(piece))
    return text
