"""What can happen to an image, and every AWS call that is made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from faults.world import World, picture


def first(world: World, key: str) -> Callable[[], Any]:
    """An image that was never seen before."""
    return lambda: world.put(key, picture(2))


def settled(world: World, key: str) -> None:
    world.put(key, picture(1))
    world.drain()


def replaced(world: World, key: str) -> Callable[[], Any]:
    """Another picture over one that is there."""
    settled(world, key)
    return lambda: world.put(key, picture(2))


def repeated(world: World, key: str) -> Callable[[], Any]:
    """The same picture, made again because somebody asked for it."""
    settled(world, key)
    return lambda: world.send(key, "imgpipe:Reprocess")


def refused(world: World, key: str) -> Callable[[], Any]:
    """Something that is no picture over one that is."""
    settled(world, key)
    return lambda: world.put(key, b"no picture")


def deleted(world: World, key: str) -> Callable[[], Any]:
    """A picture that goes."""
    settled(world, key)
    return lambda: world.delete(key)


def restored(world: World, key: str) -> Callable[[], Any]:
    """A picture that comes back, for its delete marker goes."""
    settled(world, key)
    marker = world.delete(key)
    world.drain()
    return lambda: world.delete(key, marker)


PUTS = ["PutObject/1024", "PutObject/512", "PutObject/128"]
DELETES = [one.replace("Put", "Delete") for one in PUTS]
CALLS = {
    first: ["GetItem", "GetObject", *PUTS, "PutItem", "HeadObject"],
    replaced: ["GetItem", "GetObject", *PUTS, "PutItem", *DELETES, "HeadObject"],
    repeated: ["GetItem", "GetObject", *PUTS, "PutItem", *DELETES, "HeadObject"],
    refused: ["GetItem", "GetObject", "PutItem", *DELETES, "HeadObject"],
    deleted: ["GetItem", "GetObject", "DeleteItem", *DELETES, "HeadObject"],
    restored: ["GetItem", "GetObject", *PUTS, "PutItem", "HeadObject"],
}
"""Every AWS call that is made of one event."""
