"""DynamoDB's attributes as plain values and back, without boto3, whose import takes longer than the call."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def plain(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """An item as the table answers it, {"width": {"N": "640"}}, as {"width": Decimal(640)}.

    What no record has, such as a set, somebody else has put there: it stays as it came.
    """
    return {name: _value(attribute) for name, attribute in item.items()}


def _value(attribute: Mapping[str, Any]) -> Any:
    ((kind, value),) = attribute.items()
    if kind == "M":
        return plain(value)
    if kind == "L":
        return [_value(one) for one in value]
    if kind == "N":
        return Decimal(value)
    return None if kind == "NULL" else value


def attributes(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The other way: the values of a record's item as the table takes them. Raises TypeError for what no record has."""
    return {name: _attribute(value) for name, value in values.items()}


def _attribute(value: Any) -> dict[str, Any]:
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case list():
            return {"L": [_attribute(one) for one in value]}
        case Mapping():
            return {"M": attributes(value)}
    raise TypeError(f"A record holds no {type(value).__name__}.")
