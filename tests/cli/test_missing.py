"""Which key is offered for one that does not exist."""

from __future__ import annotations

import pytest

from imgpipe.commands.missing import guess


@pytest.mark.parametrize(
    ("asked", "there", "meant"),
    [
        ("t/lrage.jpg", ["t/small.jpg", "t/large.jpg"], "t/large.jpg"),
        ("Photo.JPG", ["photo.jpg"], "photo.jpg"),
        ("photo.png", ["photo.jpg"], "photo.jpg"),
        ("photo.jpg", ["a/long/way/down/photo.jpg"], "a/long/way/down/photo.jpg"),
        ("photo1.jpg", ["photo2.jpg", "photo10.jpg"], "photo10.jpg"),
    ],
)
def test_a_slip_is_recognised(asked: str, there: list[str], meant: str) -> None:
    assert guess(asked, there) == meant


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("a.jpg", ["b.jpg", "c.jpg"]),
        ("holiday/2026/dog.jpg", ["holiday/2026/cat.jpg"]),
        ("holiday/1.jpg", ["wedding/in/the/country/1.jpg"]),
        ("IMG_0001.jpg", ["IMG_9342.jpg"]),
        ("zebra", []),
        ("/", ["a/b"]),
    ],
)
def test_what_most_keys_share_makes_no_guess(asked: str, there: list[str]) -> None:
    assert guess(asked, there) is None
