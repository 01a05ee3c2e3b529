"""The line that each key of a TOML text stands on, which tomllib does not say."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import Any

Place = tuple[str | int, ...]
"""Where a value stands: ("stages", "prod", "parameters", "memory"), with numbers for the entries of lists."""

_ENDS = ("]", "}", '"""', "'''")
"""A statement of several lines ends on one that holds one of these."""


def lines_of(text: str) -> dict[Place, int]:
    """Every place of a valid TOML text with the line, from 1, on which the statement begins that makes it first.

    Each statement can be read by itself, so it ends where the lines since the last one can be read.
    """
    lines: dict[Place, int] = {}
    lengths: Counter[Place] = Counter()
    table: Place = ()
    statement, start = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        goes_on = bool(statement)
        statement += line + "\n"
        # Trying every line of a long list would take the square of its length.
        if goes_on and not any(end in line for end in _ENDS):
            continue
        try:
            said = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        places = list(_places(said))
        if statement.lstrip().startswith("["):
            table = places[-1]
            if table[-1] == 0:  # [[name]] adds to a list
                name = table[:-1]
                table = (*name, lengths[name])
                lengths[name] += 1
            places = [table[: length + 1] for length in range(len(table))]
        else:
            places = [(*table, *place) for place in places]
        for place in places:
            lines.setdefault(place, start)
        statement, start = "", number + 1
    return lines


def _places(value: Any) -> Iterator[Place]:
    """Every place within a value, from the outside in."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield (key,)
        yield from ((key, *deeper) for deeper in _places(one))
