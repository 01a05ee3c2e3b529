"""Runs every check that a target needs, and lets none of them stop or delay the others."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from imgpipe import config as configuration
from imgpipe.config import Config
from imgpipe.doctor.findings import Check, Finding
from imgpipe.failures import explain
from imgpipe.hints import reaching
from imgpipe.targets.base import Progress

LIMIT = 20.0
"""Seconds for one check: a name server or a metadata service that never answers must not hold up the rest."""

_NOWHERE = Path("/")
_KEPT = ("HOME", "USERPROFILE", "IMGPIPE_HOME", "IMGPIPE_TARGET")


def configure(flags: Mapping[str, str], environ: Mapping[str, str], directory: Path) -> tuple[Config, Finding]:
    """The configuration to examine, and what was found about it.

    Where the file, the environment, a region or a profile is at fault, the examination goes on without it. Raises
    ImgpipeError (exit 2) where a flag is.
    """
    try:
        config = configuration.load(flags, environ, directory)
    except Exception as error:
        failure = explain(error)
        finding = Finding("configuration", "fail", failure.message, failure.hint)
        return _without_the_fault(flags, environ), finding
    where = f"{config.file} is valid" if config.file else f"There is no {configuration.FILE}, so defaults apply"
    return config, Finding("configuration", "ok", f"{where}; the stage is {config.stage!r}.")


def _without_the_fault(flags: Mapping[str, str], environ: Mapping[str, str]) -> Config:
    region = {"AWS_REGION": configuration.EMULATOR_REGION}
    kept = {name: environ[name] for name in _KEPT if name in environ}
    for fewer in (environ, {**environ, **region}):
        with contextlib.suppress(Exception):
            return configuration.load(flags, fewer, _NOWHERE)
    return configuration.load(flags, {**kept, **region}, _NOWHERE)


def examine(config: Config, environ: Mapping[str, str], progress: Progress) -> Iterator[Finding]:
    """Every finding about the target that `config` names, in the order of the checks."""
    for check in _checks(config, environ):
        progress(f"Checking: {check.name.replace('_', ' ')}")
        for finding in run(check):
            yield replace(finding, fix=reaching(config.given, finding.fix))


def run(check: Check, limit: float = LIMIT) -> list[Finding]:
    """What one check finds within `limit` seconds; a failure where it raises or needs longer."""
    found: list[Finding] = []

    def work() -> None:
        try:
            for finding in check.run():
                found.append(finding)
        except Exception as error:
            failure = explain(error)
            found.append(Finding(check.name, "fail", failure.message, failure.hint))

    # A daemon, because one that hangs must not keep the process from ending.
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(limit)
    if not worker.is_alive():
        return found
    late = Finding(check.name, "fail", f"There was no answer within {limit:g} seconds.", "imgpipe doctor, once more")
    return [*found, late]


def _checks(config: Config, environ: Mapping[str, str]) -> list[Check]:
    from imgpipe.doctor import machine

    if config.target == "local":
        from imgpipe.doctor import local

        return [*machine.checks(), *local.checks(config)]
    if config.target == "localstack":
        from imgpipe.doctor import localstack

        return [*machine.checks(), *localstack.checks(config, environ)]
    from imgpipe.doctor import aws

    return [*machine.checks(), *aws.checks(config)]
