"""How numbers are said."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """ "1 image", "2 images"; `what` is a word, or several, that take an s."""
    return f"{number} {what}{'s' * (number != 1)}"
