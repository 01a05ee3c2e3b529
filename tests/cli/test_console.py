"""What is printed shows every name as it is: nothing moves the cursor, nothing hides, and JSON stays JSON."""

from __future__ import annotations

import json

import pytest

from imgpipe.console import Console, safe

SHOWN = {
    "\x1b[2J": r"\x1b[2J",
    "\x9b31m": r"\x9b31m",
    "a\nb\r\t": r"a\nb\r\t",
    "\u202egpj.exe": r"\u202egpj.exe",
    "pho\u200bto.jpg": r"pho\u200bto.jpg",
    "\ufeffphoto.jpg": r"\ufeffphoto.jpg",
    "pho\u00adto.jpg": r"pho\xadto.jpg",
    "a\u2060b\u2064": r"a\u2060b\u2064",
    "a\U000e0041b": r"a\U000e0041b",
    "\ud800": r"\ud800",
}
FINE = ["Grüße.jpg", "写真.jpg", "نمی\u200cخواهم.jpg", "👩\u200d🚀.jpg", "[red]x[/red]", "a b"]
"""The two joiners are letters to Persian and to emoji."""


@pytest.mark.parametrize(("text", "shown"), SHOWN.items(), ids=ascii)
def test_what_could_move_the_cursor_or_hide_is_shown_as_its_number(text: str, shown: str) -> None:
    assert safe(text) == shown


@pytest.mark.parametrize("text", FINE, ids=ascii)
def test_what_people_write_is_left_alone(text: str) -> None:
    assert safe(text) == text


@pytest.mark.parametrize("text", [*SHOWN, *FINE, "\x7f"], ids=ascii)
def test_json_is_as_harmless_and_says_the_same(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Console(json=True).emit({"key": text})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"key": text}
    assert safe(printed.replace("\n", "")) == printed.replace("\n", "")
