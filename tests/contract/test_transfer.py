"""A photo means the same wherever it is processed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pictures
import pytest

if TYPE_CHECKING:
    from contract.conftest import Stages
    from contract.stage import Stage

LEFT_OUT = {
    "account and buckets": ("source.bucket", "source.uri", "renditions.bucket", "renditions.uri"),
    "version": ("source.version_id",),
    "request and attempt": ("request_id", "revision", "renditions.key"),
    "times": ("uploaded_at", "processed_at", "timings_ms"),
}
"""What differs between two targets, by reason. The thumbnail is compared as the renditions are."""


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what is left out."""
    left = [path for paths in LEFT_OUT.values() for path in paths]
    found = {name: value for name, value in record.items() if name not in left}

    def within(name: str, value: dict[str, Any]) -> dict[str, Any]:
        return {key: one for key, one in value.items() if f"{name}.{key}" not in left}

    found["source"] = within("source", record["source"])
    found["renditions"] = [within("renditions", one) for one in record["renditions"]]
    found["thumbnail"] = within("renditions", record["thumbnail"])
    return found


@pytest.mark.promise("The same photo has the same record as on `local`, there and back")
def test_a_record_is_the_same_everywhere(stage: Stage, stages: Stages) -> None:
    photo, local = pictures.everything_planted("JPEG"), stages.get("local", "all")
    first = local.ready("same.jpg", photo, "--user", "ada")
    there = stage.ready("same.jpg", photo, "--user", "ada")
    back = local.ready("same.jpg", photo, "--user", "ada")
    assert comparable(there) == comparable(first) == comparable(back)
