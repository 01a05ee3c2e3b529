"""Saves what the emulator holds in memory every few seconds, so that a killed engine loses no more than those."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from ministack import app
from ministack.core import persistence

from imgpipe.engine import patches

T = TypeVar("T")

FORMAT = 1
"""Grows when an older version of this module could not read what this one writes."""

INTERVAL = 2.0
_COST = 10
"""Saving may take one part in this many of the engine's time: with much to save it is done less often."""
_IDLE_INTERVAL = 30.0
"""Even an engine that nobody calls changes: a time to live ends, a message reaches its dead-letter queue."""

_LONG = ("cloudwatch", "cloudwatch_logs")
"""Services that hold tens of megabytes in the end, of which no part speaks of another."""
_PIECE = 200  # entries

_log = logging.getLogger("imgpipe.checkpoint")


class Checkpoint:
    """Writes the state of every service to one file, so that what they say of each other always fits together.

    `activity` returns a number that changes whenever the engine did something.
    """

    def __init__(self, path: Path, activity: Callable[[], int]) -> None:
        self._path = path
        self._activity = activity
        self._written = b""
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Save for as long as the engine lives."""
        seen, quiet, cost, saved = -1, 0, 0.0, time.monotonic()
        while True:
            await asyncio.sleep(max(INTERVAL, cost * _COST))
            now = self._activity()
            # What a request set in motion may end after the save that followed it: one more save catches that.
            quiet = quiet + 1 if now == seen else 0
            seen = now
            if quiet > 1 and time.monotonic() - saved < _IDLE_INTERVAL:
                continue
            started = time.process_time()
            try:
                await self.save()
            except Exception:
                _log.exception("The state could not be saved; trying again")
            saved, cost = time.monotonic(), time.process_time() - started

    async def save(self) -> None:
        """Save unless nothing changed since the last call; raises OSError where it cannot be written."""
        async with self._lock:
            services = []
            # The queues first: a message that was handled since is handled again, which does no harm. One that left
            # its queue before its result was looked at would be lost.
            for name, get_state in sorted(app._build_persistence_save_dict().items(), key=lambda one: one[0] != "sqs"):
                if (held := _held(name, get_state)) is None:
                    continue
                encoded = []
                for piece in _pieces(held) if name in _LONG else [_json(held)]:
                    encoded.append(piece)
                    await asyncio.sleep(0)
                services.append(b'"%b": %b' % (name.encode(), b"".join(encoded)))
            data = b'{"format": %d, "services": {\n%b\n}}' % (FORMAT, b",\n".join(services))
            digest = hashlib.blake2b(data).digest()
            if digest != self._written:
                await asyncio.to_thread(self._write, data)
                self._written = digest

    def _write(self, data: bytes) -> None:
        unfinished = self._path.with_suffix(".tmp")
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)


def _held(service: str, get_state: Callable[[], Any]) -> dict[str, Any] | None:
    """What a service holds; None where that is nothing, so that the next start need not even load it."""
    patches.saving.now = True
    try:
        state = _undisturbed(get_state)
    finally:
        patches.saving.now = False
    if not state or not any(getattr(value, "_data", value) for value in state.values()):
        return None
    return {"format": persistence._state_format_version(service), "state": state}


def _json(value: Any) -> bytes:
    return _undisturbed(lambda: json.dumps(value, default=persistence._json_default)).encode()


def _undisturbed(read: Callable[[], T]) -> T:
    """Read again when a background thread of the emulator changed a dictionary meanwhile."""
    for _ in range(4):
        with contextlib.suppress(RuntimeError):
            return read()
    return read()


def _pieces(value: Any) -> Iterator[bytes]:
    """The JSON of a value in pieces that take a few milliseconds each, so that others can be served in between."""
    if not isinstance(value, dict | list | tuple | str | int | float | None):
        value = persistence._json_default(value)
    if isinstance(value, dict) and len(value) <= _PIECE and all(isinstance(key, str) for key in value):
        for number, (key, one) in enumerate(list(value.items())):
            yield (b", " if number else b"{") + _json(key) + b": "
            yield from _pieces(one)
        yield b"}" if value else b"{}"
    elif isinstance(value, dict | list) and len(value) > _PIECE:
        entries: list[Any] = list(value.items()) if isinstance(value, dict) else value[:]
        for start in range(0, len(entries), _PIECE):
            part = entries[start : start + _PIECE]
            inner = _json(dict(part) if isinstance(value, dict) else part)
            yield (b", " if start else inner[:1]) + inner[1:-1]
        yield b"}" if isinstance(value, dict) else b"]"
    else:
        yield _json(value)
