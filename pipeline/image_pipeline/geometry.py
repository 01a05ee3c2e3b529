"""Sizes and windows in whole pixels: what fits where."""

from __future__ import annotations

Size = tuple[int, int]


def inside(size: Size, box: int) -> Size:
    """`size` scaled to fit into a square of `box`: aspect kept to the nearest pixel, never enlarged, never empty."""
    width, height = size
    longest = max(size)
    if longest <= box:
        return size
    return max(1, (2 * width * box + longest) // (2 * longest)), max(1, (2 * height * box + longest) // (2 * longest))


def covering(size: Size, box: int) -> Size:
    """The smallest scaling of `size` that covers a square of `box`; `size` itself where it cannot without enlarging."""
    shortest = min(size)
    if shortest <= box:
        return size
    return -(-size[0] * box // shortest), -(-size[1] * box // shortest)


def centre_square(width: float, height: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the largest square in the middle."""
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def covers(size: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether a picture of `size` can be made smaller to `other`, and has not to be enlarged in any direction."""
    return size[0] >= other[0] and size[1] >= other[1]
