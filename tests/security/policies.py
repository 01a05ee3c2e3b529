"""The template as CloudFormation would see it in one account, and every IAM statement in it. Needs PyYAML alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "cli" / "imgpipe" / "stack" / "template.yaml"

PLACE = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "imgpipe-prod",
    "AWS::URLSuffix": "amazonaws.com",
}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0f6c0a4e-9d3c-4f5b-8f6e-2f6a3c1d5e7b"
EVERYTHING = {
    "KmsKeyArn": KEY,
    "Dashboard": "true",
    "AlarmEmail": "ops@example.org",
    "PermissionsBoundary": "arn:aws:iam::123456789012:policy/boundary",
}
"""Parameters with which every condition of the template holds."""

_NOTHING = object()


class Statement(NamedTuple):
    """One statement: the resource it stands in, and what it says, every list of it a list."""

    where: str
    effect: str
    principal: Any
    actions: list[str]
    resources: list[str]
    condition: dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags."""


def _tag(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tag)


@cache
def _template() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    return found


def resolved(parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The template with its parameters, conditions and pseudo parameters worked out; references to resources stay."""
    template = deepcopy(_template())
    values = {name: str(one.get("Default", f"a-{name}")) for name, one in template.pop("Parameters").items()}
    known = PLACE | values | dict(parameters or {})
    conditions: dict[str, Any] = {}
    for name, rule in template.pop("Conditions").items():
        conditions[name] = _work_out(rule, known, conditions)
    for name, resource in list(template["Resources"].items()):
        if not conditions.get(resource.pop("Condition", ""), True):
            del template["Resources"][name]
    done: dict[str, Any] = _work_out(template, known, conditions)
    return done


def _work_out(value: Any, known: Mapping[str, str], conditions: Mapping[str, Any]) -> Any:
    def again(one: Any) -> Any:
        return _work_out(one, known, conditions)

    match value:
        case {"Ref": "AWS::NoValue"}:
            return _NOTHING
        case {"Ref": name} if name in known:
            return known[name]
        case {"Condition": str(name)} if len(value) == 1:
            return conditions[name]
        case {"Fn::Equals": [left, right]}:
            return again(left) == again(right)
        case {"Fn::Not": [one]}:
            return not again(one)
        case {"Fn::And": list(all_of)}:
            return all(again(one) for one in all_of)
        case {"Fn::Or": list(any_of)}:
            return any(again(one) for one in any_of)
        case {"Fn::If": [name, yes, no]}:
            return again(yes if conditions[name] else no)
        case {"Fn::Sub": str(text)}:
            text = re.sub(r"\$\{([^}!]+)\}", lambda found: known.get(found[1], found[0]), text)
            return {"Fn::Sub": text} if "${" in text else text
        case dict():
            worked = {name: again(one) for name, one in value.items()}
            return {name: one for name, one in worked.items() if one is not _NOTHING}
        case list():
            return [one for one in map(again, value) if one is not _NOTHING]
    return value


def documents(template: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every policy document with the name of its resource, references to other resources written as their ARNs."""
    resources = template["Resources"]
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        for document in (
            properties.get("PolicyDocument"),
            properties.get("AssumeRolePolicyDocument"),
            *(one["PolicyDocument"] for one in properties.get("Policies", ())),
        ):
            if document:
                yield name, _with_arns(document, resources)


def _with_arns(value: Any, resources: Mapping[str, Any]) -> Any:
    match value:
        case {"Fn::GetAtt": [name, "Arn"]} | {"Ref": name}:
            named = {"AWS::SQS::Queue": ("sqs", "QueueName"), "AWS::SNS::Topic": ("sns", "TopicName")}
            service, naming = named[resources[name]["Type"]]
            return f"arn:aws:{service}:eu-west-1:123456789012:{resources[name]['Properties'][naming]}"
        case dict():
            return {key: _with_arns(one, resources) for key, one in value.items()}
        case list():
            return [_with_arns(one, resources) for one in value]
    return value


def statements(where: str, document: Mapping[str, Any]) -> list[Statement]:
    """The statements of one document."""

    def listed(one: Any) -> list[str]:
        return [one] if isinstance(one, str) else list(one)

    return [
        Statement(
            where,
            one["Effect"],
            one.get("Principal"),
            listed(one["Action"]),
            listed(one.get("Resource", [])),
            one.get("Condition", {}),
        )
        for one in document["Statement"]
    ]
