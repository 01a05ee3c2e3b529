"""Saves what the emulator holds in memory every few seconds, so that a killed engine loses no more than those."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ministack import app
from ministack.core import persistence

from imgpipe.engine import patches

FORMAT = 1
"""Grows when an older version of this module could not read what this one writes."""

INTERVAL = 2.0
_COST = 10
"""Saving may take one part in this many of the engine's time: with much to save it is done less often."""
_IDLE_INTERVAL = 30.0
"""Even an engine that nobody calls changes: a time to live ends, a message reaches its dead-letter queue."""

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
                if data := _encoded(name, get_state):
                    services.append(b'"%b": %b' % (name.encode(), data))
                    await asyncio.sleep(0)
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


def _encoded(service: str, get_state: Callable[[], Any]) -> bytes | None:
    """A service's state as JSON; None where it has nothing, so that the next start need not even load it."""
    for attempt in range(5):
        patches.saving.now = True
        try:
            state = get_state()
            if not state or not any(getattr(value, "_data", value) for value in state.values()):
                return None
            wrapped = {"format": persistence._state_format_version(service), "state": state}
            return json.dumps(wrapped, default=persistence._json_default).encode()
        except RuntimeError:
            # A background thread of the emulator changed a dictionary while it was being read.
            if attempt == 4:
                raise
        finally:
            patches.saving.now = False
    return None
