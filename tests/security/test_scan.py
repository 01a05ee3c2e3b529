"""The list of accepted findings: a new finding fails, and so does an entry that nothing needs any more."""

from __future__ import annotations

from collections import Counter

from security.policies import EVERYTHING, resolved
from security.scan import LIST, VARIANTS, Accepted, Finding, accepted, compare

LISTED = accepted(LIST.read_text(encoding="utf-8"))
FOUND = set().union(*(one.findings for one in LISTED))


def test_what_is_listed_and_found_is_fine() -> None:
    assert compare(FOUND, LISTED) == []


def test_a_new_finding_is_named_with_its_resource() -> None:
    assert compare(FOUND | {Finding("CKV_AWS_999", "Table", "defaults")}, LISTED) == [
        "new: CKV_AWS_999 fails for Table (defaults)"
    ]


def test_an_accepted_check_that_fails_for_another_resource_is_new() -> None:
    assert compare(FOUND | {Finding("CKV_AWS_21", "InputBucket", "defaults")}, LISTED) == [
        "new: CKV_AWS_21 fails for InputBucket (defaults)"
    ]


def test_an_entry_that_nothing_fails_any_more_has_to_go() -> None:
    assert compare(FOUND - {Finding("CKV_AWS_117", "Function", "everything")}, LISTED) == [
        "stale: CKV_AWS_117 no longer fails for Function (everything)"
    ]


def test_an_entry_may_be_about_one_variant_only() -> None:
    [entry] = accepted('[[accepted]]\ncheck = "A"\nresources = ["Table"]\nonly = "defaults"\nreason = "because"')
    assert entry.findings == {Finding("A", "Table", "defaults")}


def test_every_entry_has_a_reason_and_names_what_is_in_the_template() -> None:
    resources = resolved(EVERYTHING)["Resources"].keys() | {"deployer"}
    for entry in LISTED:
        assert isinstance(entry, Accepted)
        assert len(entry.reason.split()) >= 8, entry
        assert {one.split()[0] for one in entry.resources} <= resources
        assert entry.variants <= VARIANTS.keys()
    assert Counter(one for entry in LISTED for one in entry.findings).most_common(1)[0][1] == 1
