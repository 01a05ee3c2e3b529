"""botocore's descriptions of AWS, cut down to what the function calls: most of what a client costs is reading them."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from imgpipe.stack.archive import Entry

CALLS = {
    "dynamodb": ("DeleteItem", "GetItem", "PutItem"),
    # botocore itself asks for the bucket where S3 says that it lies in another region.
    "s3": ("DeleteObject", "GetObject", "HeadBucket", "HeadObject", "PutObject"),
    "sqs": ("ChangeMessageVisibility",),
}
"""The operations that the function's clients have, by botocore's name of the service."""

_MODEL = re.compile(r"botocore/data/(\w+)/[\d-]+/service-2\.json\.gz")
_ENDPOINTS = "botocore/data/endpoints.json"


def reduced(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries of a bundle, with every operation, shape and endpoint left out that CALLS have no use for."""
    for entry in entries:
        if found := _MODEL.fullmatch(entry.path):
            model = _model(json.loads(gzip.decompress(entry.data)), CALLS[found[1]])
            yield _json(entry.path.removesuffix(".gz"), model)
        elif entry.path == _ENDPOINTS:
            yield _json(entry.path, _endpoints(json.loads(entry.data)))
        else:
            yield entry


def _model(model: dict[str, Any], calls: Iterable[str]) -> dict[str, Any]:
    operations = {name: model["operations"][name] for name in calls}
    shapes: dict[str, Any] = {}
    wanted = set(_shapes(operations))
    while wanted:
        name = wanted.pop()
        shapes[name] = model["shapes"][name]
        wanted |= {one for one in _shapes(shapes[name]) if one not in shapes}
    # Documentation is optional there, and botocore insists on that of some of the rest.
    kept = {"operations": _undocumented(operations), "shapes": _undocumented(dict(sorted(shapes.items())))}
    return {name: kept.get(name, value) for name, value in model.items() if name != "documentation"}


def _shapes(value: Any) -> Iterator[str]:
    """The names of the shapes that a part of a model refers to."""
    if isinstance(value, dict):
        if isinstance(name := value.get("shape"), str):
            yield name
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _shapes(one)


def _undocumented(value: Any) -> Any:
    if isinstance(value, dict):
        # A member may have this name, too, and is no text.
        kept = {name: one for name, one in value.items() if name != "documentation" or not isinstance(one, str)}
        return {name: _undocumented(one) for name, one in kept.items()}
    return [_undocumented(one) for one in value] if isinstance(value, list) else value


def _endpoints(endpoints: dict[str, Any]) -> dict[str, Any]:
    for partition in endpoints["partitions"]:
        partition["services"] = {name: one for name, one in partition["services"].items() if name in CALLS}
    return endpoints


def _json(path: str, value: Any) -> Entry:
    return Entry(path, json.dumps(value, separators=(",", ":")).encode())
