"""Holds what checkov and parliament find in the template against the list of what is accepted, and why.

Run by scripts/scan, in an environment of its own: neither tool agrees with the boto3 that imgpipe needs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from security import policies

LIST = Path(__file__).with_name("accepted.toml")
DEPLOYER = policies.ROOT / "docs" / "deployer-policy.json"
VARIANTS: dict[str, dict[str, str]] = {"defaults": {}, "everything": policies.EVERYTHING}
"""The template is scanned as it comes, and with every option turned on."""


class Finding(NamedTuple):
    """One check that one resource fails in one variant of the template; of a policy, with the action it is about."""

    check: str
    resource: str
    variant: str


class Accepted(NamedTuple):
    """A check that some resources may fail, in these variants, and the reason."""

    check: str
    resources: frozenset[str]
    variants: frozenset[str]
    reason: str

    @property
    def findings(self) -> set[Finding]:
        return {Finding(self.check, resource, variant) for resource in self.resources for variant in self.variants}


def accepted(text: str) -> list[Accepted]:
    """The list of accepted.toml. `only` names the one variant of the template that an entry is about."""
    return [
        Accepted(
            one["check"],
            frozenset(one["resources"]),
            frozenset([one["only"]] if "only" in one else VARIANTS),
            one["reason"],
        )
        for one in tomllib.loads(text)["accepted"]
    ]


def compare(found: Collection[Finding], listed: Iterable[Accepted]) -> list[str]:
    """What is wrong, a line each: findings that nobody accepted, and entries that nothing fails any more."""
    known = set().union(*(one.findings for one in listed))
    new = [f"new: {one.check} fails for {one.resource} ({one.variant})" for one in sorted(set(found) - known)]
    stale = [f"stale: {one.check} no longer fails for {one.resource} ({one.variant})" for one in known - set(found)]
    return new + sorted(stale)


def by_checkov() -> set[Finding]:
    """What checkov finds; raises ValueError where it did not really look."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "checkov.main", "--framework", "cloudformation", "--skip-download"]
        for variant, parameters in VARIANTS.items():
            path = Path(folder, f"{variant}.json")
            path.write_text(json.dumps(policies.resolved(parameters)))
            command += ["--file", str(path)]
        done = subprocess.run([*command, "--output", "json"], capture_output=True, text=True, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    summary, results = report["summary"], report["results"]
    looked = {Path(one["file_path"]).stem for one in results["passed_checks"]}
    if summary["parsing_errors"] or looked != VARIANTS.keys():
        raise ValueError(f"checkov could not read the template: {summary}")
    return {
        Finding(one["check_id"], one["resource"].rpartition(".")[2], Path(one["file_path"]).stem)
        for one in results["failed_checks"]
    }


def by_parliament() -> set[Finding]:
    """What parliament finds in every policy of the template, and in the one that a deployer needs."""
    warnings.simplefilter("ignore")  # its own, about the way it finds its data
    from parliament import analyze_policy_string  # type: ignore[import-not-found]

    found = set()
    for variant, parameters in VARIANTS.items():
        documents = [*policies.documents(policies.resolved(parameters)), ("deployer", json.loads(DEPLOYER.read_text()))]
        for resource, document in documents:
            if not all("Resource" in one for one in document["Statement"]):
                continue  # who may assume a role: it has no resource, which parliament takes for a mistake
            for one in analyze_policy_string(json.dumps(document)).findings:
                found |= {Finding(one.issue, f"{resource} {about}".strip(), variant) for about in _about(one)}
    return found


def _about(finding: Any) -> list[str]:
    """The actions that a finding of parliament is about, or an empty name where it is about none."""
    if isinstance(finding.detail, list):
        return [one["action"] if isinstance(one, dict) else one for one in finding.detail]
    where = finding.location if isinstance(finding.location, dict) else {}
    return [str(where.get("string", ""))]


def main() -> int:
    """0 where every finding is accepted and every acceptance is needed, else 1 with a line for each that is not."""
    found = by_checkov() | by_parliament()
    wrong = compare(found, accepted(LIST.read_text(encoding="utf-8")))
    for line in wrong:
        print(line)  # noqa: T201
    checks = len({one.check for one in found})
    print(f"{len(found)} accepted findings of {checks} checks" if not wrong else f"see {LIST}")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
