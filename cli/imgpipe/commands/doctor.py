"""`imgpipe doctor`: what the target needs, and how to mend what it lacks."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from imgpipe.commands.base import GIVEN, console_of, flags_of
from imgpipe.console import Console, Span
from imgpipe.words import counted

if TYPE_CHECKING:
    from imgpipe.doctor.findings import Finding

EXAMPLES = """
imgpipe doctor
imgpipe doctor -t aws --profile prod
imgpipe doctor -t localstack --json | jq '.findings[] | select(.state == "fail")'
"""

_SIGNS = {"ok": ("✓", "good"), "warn": ("!", "warn"), "fail": ("✗", "bad"), "skip": ("-", "dim")}


def doctor(ctx: typer.Context) -> None:
    """Check everything that the target needs, and print the fix of what fails. Changes nothing.

    Exit status 1 when a check fails; warnings and what could not be looked at leave it at 0.
    """
    from imgpipe.doctor.examination import configure, examine

    console = console_of(ctx)
    config, configuration = configure(flags_of(ctx), os.environ, Path.cwd())
    ctx.meta[GIVEN] = config.given
    with console.steps() as progress:
        findings = [configuration, *examine(config, os.environ, progress)]
    failed = sum(finding.state == "fail" for finding in findings)
    if console.json:
        console.emit({"target": config.target, "findings": [asdict(one) for one in findings], "ok": not failed})
    else:
        _draw(console, findings)
        console.line()
        console.line(*_verdict(config.target, findings, failed))
    if failed:
        raise typer.Exit(1)


def _draw(console: Console, findings: list[Finding]) -> None:
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        sign, style = _SIGNS[finding.state]
        console.line(Span(sign, style), " ", finding.name.replace("_", " ").ljust(width), "  ", finding.said)
        if finding.fix and finding.state in ("warn", "fail"):
            console.line(" " * (width + 4), Span(finding.fix, "name"))


def _verdict(target: str, findings: list[Finding], failed: int) -> tuple[Span]:
    if failed:
        return (Span(f"{failed} of {len(findings)} checks failed for the target {target}.", "bad"),)
    warned = sum(finding.state == "warn" for finding in findings)
    but = f", with {counted(warned, 'warning')}" if warned else ""
    return (Span(f"The target {target} has what it needs{but}.", "good"),)
