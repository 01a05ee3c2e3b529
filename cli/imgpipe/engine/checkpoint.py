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

INTERVAL = 2.0
_COST = 10
"""Saving may take one part in this many of the engine's time: with much to save it is done less often."""
_IDLE_INTERVAL = 30.0
"""Even an engine that nobody calls changes: a time to live ends, a message reaches its dead-letter queue."""

_log = logging.getLogger("imgpipe.checkpoint")


class Checkpoint:
    """Writes each service whose state changed to `folder`, in ministack's own format.

    `activity` returns a number that changes whenever the engine did something.
    """

    def __init__(self, folder: Path, activity: Callable[[], int]) -> None:
        self._folder = folder
        self._activity = activity
        self._written: dict[str, bytes] = {}
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
            started = time.monotonic()
            try:
                await self.save()
            except Exception:
                _log.exception("The state could not be saved; trying again")
            saved = time.monotonic()
            cost = saved - started

    async def save(self) -> None:
        """Save what changed since the last call; raises OSError where it cannot be written."""
        async with self._lock:
            changed = {}
            for service, get_state in _services():
                if (data := _encoded(service, get_state)) is None:
                    continue
                digest = hashlib.blake2b(data).digest()
                if self._written.get(service) != digest:
                    changed[service] = (data, digest)
                await asyncio.sleep(0)
            await asyncio.to_thread(self._write, {name: data for name, (data, _) in changed.items()})
            self._written.update({name: digest for name, (_, digest) in changed.items()})

    def _write(self, changed: dict[str, bytes]) -> None:
        for service, data in changed.items():
            with (self._folder / f"{service}.json.tmp").open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        # All together at the end, the queues last: a message that was handled and is still in its queue is handled
        # again, which does no harm; one that left the queue before its result was saved would be lost.
        for service in sorted(changed, key=lambda name: name == "sqs"):
            (self._folder / f"{service}.json.tmp").replace(self._folder / f"{service}.json")


def _services() -> list[tuple[str, Callable[[], Any]]]:
    """Every service that was used, the queues first, for the same reason as they are written last."""
    return sorted(app._build_persistence_save_dict().items(), key=lambda entry: entry[0] != "sqs")


def _encoded(service: str, get_state: Callable[[], Any]) -> bytes | None:
    for attempt in range(5):
        patches.saving.now = True
        try:
            if (state := get_state()) is None:
                return None
            wrapped = {"__ministack_format__": persistence._state_format_version(service), "payload": state}
            return json.dumps(wrapped, default=persistence._json_default).encode()
        except RuntimeError:
            # A background thread of the emulator changed a dictionary while it was being read.
            if attempt == 4:
                raise
        finally:
            patches.saving.now = False
    return None
