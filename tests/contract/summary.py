"""The pytest plugin that counts the contract's promises, by target, at the end of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

PROMISE = "contract promise"
"""The property of a report that holds (target, capability). Properties travel from the workers of xdist, too."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "promise(capability): what a target must do, as README and summary call it")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for each target that was asked."""
    outcomes: dict[str, dict[str, set[str]]] = {}
    for outcome in ("passed", "xfailed", "failed", "error"):
        for target, capability in _promises(terminalreporter.stats.get(outcome, ())):
            outcomes.setdefault(target, {}).setdefault(outcome, set()).add(capability)
    if not outcomes:
        return
    terminalreporter.section("contract")
    for target, found in outcomes.items():
        terminalreporter.line(line(target, found))


def _promises(reports: Iterable[Any]) -> Iterable[tuple[str, str]]:
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name == PROMISE:
                target, capability = value
                yield target, capability


def line(target: str, found: dict[str, set[str]]) -> str:
    """What a target did, from the capabilities by outcome of their tests ("passed", "xfailed", "failed", "error")."""
    wrong = found.get("failed", set()) | found.get("error", set())
    known = found.get("xfailed", set()) - wrong
    kept = found.get("passed", set()) - wrong - known
    text = f"contract on {target}: {len(kept)} promises kept"
    for count, label in ((known, "not, as listed"), (wrong, "NOT AS LISTED")):
        if count:
            text += f", {len(count)} {label}: {'; '.join(sorted(count))}"
    return text
