"""Who takes which turn with a picture: cheap pictures, where noise weighs most, get many turns, dear ones few."""

from __future__ import annotations

from collections.abc import Collection, Mapping

BUDGET_MS = 2500.0
"""CPU time that a judged contender's turns with one picture may take, as far as the bounds allow."""
LEAST, MOST = 3, 25

OTHERS_MS = 1000.0
"""The same for everybody else, of at most LEAST; what takes longer is not much quicker a second time."""

OURS = "ours"
NEIGHBOURS = ("floor", OURS, "sharp-expert", "sharp-documented", "pillow-thumbnail")
"""The order within a turn: what is compared most closely runs next to imgpipe, so that it meets the same machine."""


def turns(
    first: Mapping[str, float], judged: Collection[str], budget: float = BUDGET_MS, least: int = LEAST
) -> list[list[str]]:
    """The contenders of each turn, in order. `first` holds the milliseconds of everybody's first turn.

    A judged one takes as many as fit into `budget`, `least` to MOST, spread over all; imgpipe takes every turn, so that
    each has its quotient; the others a few, not all in the same, or none where the first was long.
    """
    counts = {key: min(MOST, max(least, int(budget / max(1.0, first[key])))) for key in first if key in judged}
    total = max(counts.values(), default=1)
    counts[OURS] = total
    others = {
        key: min(least, total, int(OTHERS_MS / max(1.0, took))) for key, took in first.items() if key not in counts
    }
    made = []
    for turn in range(total):
        who = [key for place, key in enumerate(others) if _due((turn + place) % total, others[key], total)]
        who += [key for key in NEIGHBOURS if key in first and _due(turn, counts.get(key, 0), total)]
        made.append(who)
    return made


def _due(turn: int, count: int, total: int) -> bool:
    """Whether one of `count` turns out of `total`, evenly spread, is this one."""
    return (turn + 1) * count // total > turn * count // total
