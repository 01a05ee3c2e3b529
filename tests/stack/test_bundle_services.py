"""The bundle's botocore can make every call that the function makes, as botocore itself describes it, and no other."""

from __future__ import annotations

import ast
import gzip
import json
import re
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore import xform_name
from bundles import built, contents

import image_pipeline
from imgpipe.stack.services import CALLS

MODELS = {name: data for name, data in contents(built("arm64").data).items() if name.endswith("/service-2.json")}
CLIENTS = {"_client", "_queue"}


def calls() -> set[str]:
    """The methods that the function's sources take from a client of AWS."""
    found = set()
    for path in Path(str(image_pipeline.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                owner = node.value.func if isinstance(node.value, ast.Call) else node.value
                name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
                if name in CLIENTS:
                    found.add(node.attr)
    return found


def undocumented(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: undocumented(one)
            for name, one in value.items()
            if not (name == "documentation" and isinstance(one, str))
        }
    return [undocumented(one) for one in value] if isinstance(value, list) else value


def test_every_call_of_the_function_is_there() -> None:
    described = {xform_name(name) for names in CALLS.values() for name in names}
    assert calls() == described - {"head_bucket"}


@pytest.mark.parametrize("path", sorted(MODELS))
def test_what_is_left_is_what_botocore_says(path: str) -> None:
    whole = Path(str(botocore.__file__)).parent.parent / f"{path}.gz"
    model, full = json.loads(MODELS[path]), json.loads(gzip.decompress(whole.read_bytes()))
    assert set(model["operations"]) == set(CALLS[path.split("/")[2]])
    for part in ("operations", "shapes"):
        assert model.pop(part).items() <= undocumented(full.pop(part)).items()
    assert model == {name: value for name, value in full.items() if name != "documentation"}
    needed = set(re.findall(r'"shape":"(\w+)"', MODELS[path].decode()))
    assert set(json.loads(MODELS[path])["shapes"]) == needed


def test_endpoints_are_those_of_every_partition() -> None:
    path = "botocore/data/endpoints.json"
    kept = json.loads(contents(built("arm64").data)[path])["partitions"]
    full = json.loads((Path(str(botocore.__file__)).parent.parent / path).read_bytes())["partitions"]
    for ours, theirs in zip(kept, full, strict=True):
        services = {name: one for name, one in theirs["services"].items() if name in CALLS}
        assert ours == {**theirs, "services": services}
