"""The table's attributes are those that boto3 would make of a record, and are read as boto3 would read them."""

from __future__ import annotations

from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from image_pipeline.attributes import attributes, plain

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ITEMS = st.dictionaries(st.text(min_size=1, max_size=8), VALUES, max_size=6)


@given(ITEMS)
def test_attributes_are_those_of_boto3_both_ways(item: dict[str, Any]) -> None:
    serialize, deserialize = TypeSerializer().serialize, TypeDeserializer().deserialize
    made = attributes(item)
    assert made == {name: serialize(value) for name, value in item.items()}
    assert plain(made) == {name: deserialize(value) for name, value in made.items()} == item


@pytest.mark.parametrize("value", [1.5, b"bytes", {"a set"}, [2.5]])
def test_what_no_record_has_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="A record holds no"):
        attributes({"name": value})


def test_what_somebody_else_has_put_there_stays_as_it_came() -> None:
    assert plain({"theirs": {"SS": ["a", "b"]}}) == {"theirs": ["a", "b"]}
