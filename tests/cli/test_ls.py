"""Which columns a listing shows where there is little room."""

from __future__ import annotations

import pytest

from imgpipe.commands.ls import _HEADER, fitting
from imgpipe.console import Span

ROW = (Span("READY", "good"), Span("2026-01-31 12:00:00", "dim"), "4000×3000", "jpeg", "ada", "holiday/2026/beach.jpg")


def shown(width: int, *rows: tuple[str | Span, ...]) -> list[str]:
    return [_HEADER[number] for number in fitting([_HEADER, *rows], width)]


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (80, ["status", "uploaded", "size", "format", "user", "key"]),
        (66, ["status", "uploaded", "size", "user", "key"]),
        (60, ["status", "uploaded", "size", "key"]),
        (40, ["status", "size", "key"]),
        (28, ["status", "key"]),
        (10, ["key"]),
    ],
)
def test_a_narrow_terminal_loses_columns_but_never_the_key(width: int, columns: list[str]) -> None:
    assert shown(width, ROW) == columns


def test_short_keys_leave_room_for_more() -> None:
    assert "uploaded" in shown(40, (*ROW[:-1], "a.jpg"))


def test_a_name_that_fills_the_line_gives_way_to_the_key() -> None:
    assert shown(80, (*ROW[:4], "u" * 60, "a.jpg")) == ["status", "uploaded", "size", "format", "key"]


def test_wide_characters_take_the_room_they_need() -> None:
    assert "user" not in shown(70, (*ROW[:4], "写真写真写真写真", ROW[5]))
