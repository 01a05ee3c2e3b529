"""Every key of a TOML text has the line on which its statement begins."""

from __future__ import annotations

import tomllib

import pytest

from imgpipe.tomllines import lines_of

TEXT = '''\
a = 1

[[list]]
box = 1 # [[list]]
[[list]]
box = [
  1, # ]
  "[[list]]",
]
name = """
[list]
box = 3 """
[deep."er er"]
x.y = { z = [1, { w = 2 }] }

[[deep.list]]
[[deep.list]]
v = "]"
'''


def test_statements_of_one_and_of_many_lines() -> None:
    assert tomllib.loads(TEXT)
    assert lines_of(TEXT) == {
        ("a",): 1,
        ("list",): 3,
        ("list", 0): 3,
        ("list", 0, "box"): 4,
        ("list", 1): 5,
        ("list", 1, "box"): 6,
        ("list", 1, "box", 0): 6,
        ("list", 1, "box", 1): 6,
        ("list", 1, "name"): 10,
        ("deep",): 13,
        ("deep", "er er"): 13,
        ("deep", "er er", "x"): 14,
        ("deep", "er er", "x", "y"): 14,
        ("deep", "er er", "x", "y", "z"): 14,
        ("deep", "er er", "x", "y", "z", 0): 14,
        ("deep", "er er", "x", "y", "z", 1): 14,
        ("deep", "er er", "x", "y", "z", 1, "w"): 14,
        ("deep", "list"): 16,
        ("deep", "list", 0): 16,
        ("deep", "list", 1): 17,
        ("deep", "list", 1, "v"): 18,
    }


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "\n\n# x"])
def test_a_text_that_says_nothing_has_no_places(text: str) -> None:
    assert lines_of(text) == {}
