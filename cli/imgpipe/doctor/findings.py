"""What an examination is made of: checks, and the findings that they come to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail", "skip"]
"""`warn`: it works, but not as well or not for long. `skip`: it could not be looked at, and `said` has the reason."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about what a target needs.

    `name` is a stable snake_case name for programs, `said` one sentence with what was found, `fix` the command or the
    line that mends it: never empty for `fail`.
    """

    name: str
    state: State
    said: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at. `run` changes nothing; `name` is what its findings are called if it raises or hangs."""

    name: str
    run: Callable[[], Iterable[Finding]]
