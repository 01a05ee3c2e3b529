"""The engine's own process: ministack behind the guard, saved every few seconds, ended cleanly.

Started by the supervisor as `python -m imgpipe.engine.server FOLDER STAGE DESCRIPTOR`: the stage's folder, its name,
and a listening socket. Says one JSON line on stdout: {"ready": true}, or {"error": {…}} and it ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from imgpipe.engine.folder import Running, StageFolder
from imgpipe.errors import ImgpipeError

_DRAIN = 1.0
"""Seconds that running invocations get to finish when the engine is asked to stop."""

_ROUND = 5.0
"""Seconds between two looks at queues and alarms."""


def main() -> None:
    """Run until SIGTERM."""
    folder, stage, listener = StageFolder(Path(sys.argv[1])), sys.argv[2], socket.socket(fileno=int(sys.argv[3]))
    parent = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever ministack prints belongs in the log
    os.umask(0o077)
    running = Running(pid=os.getpid(), port=listener.getsockname()[1], token=secrets.token_hex(16))
    try:
        folder.hold(running)
        asyncio.run(_Engine(folder, stage, running, listener).serve(lambda: _say(parent, {"ready": True})))
    except ImgpipeError as error:
        told = {"code": error.code, "message": error.message, "hint": error.hint, "status": int(error.status)}
        _say(parent, {"error": told})
        sys.exit(1)


def _say(parent: Any, message: dict[str, Any]) -> None:
    try:
        parent.write(json.dumps(message) + "\n")
        parent.close()
    except OSError:
        pass  # the command that started the engine is gone; the engine is not


class _Engine:
    def __init__(self, folder: StageFolder, stage: str, running: Running, listener: socket.socket) -> None:
        folder.create_inside()
        os.environ["IMGPIPE_ENGINE_PID"] = str(os.getpid())
        # Only now: ministack looks at its folders and settings when it is imported.
        from ministack import app

        from imgpipe.engine import alarms, metrics, patches, retention, speed
        from imgpipe.engine.checkpoint import Checkpoint
        from imgpipe.engine.guard import Guard

        patches.check_version()
        patches.apply()
        speed.apply()
        metrics.apply()
        alarms.apply()
        retention.apply()
        # It was for ministack; a function that inherited it would drop its own lines.
        del os.environ["LOG_LEVEL"]
        # Loading and saving are ours: ministack would go on without what it cannot read, and overwrite it.
        app.PERSIST_STATE = False
        self._folder = folder
        self._listener = listener
        about = {"pid": running.pid, "stage": stage}
        self._guard = Guard(app.app, token=running.token, about=about)
        self._checkpoint = Checkpoint(folder.saved, self._activity)

    async def serve(self, ready: Callable[[], None]) -> None:
        """Load what was saved, serve, save. Ends the process when it is told to stop."""
        from imgpipe.engine import state

        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await self._start_ministack()
        state.load(self._folder.saved)
        # Also proves that the state can be written, before anyone relies on it.
        await self._checkpoint.save()
        await loop.create_server(_protocol(self._guard), sock=self._listener)
        ready()
        self._saving = asyncio.create_task(self._checkpoint.run())
        self._watching = asyncio.create_task(self._watch())
        await stop.wait()
        await self._end()

    async def _start_ministack(self) -> None:
        """Run ministack's own start, which raises here: a server would go on without it."""
        from ministack import app

        started = asyncio.Event()

        async def receive() -> dict[str, str]:
            if started.is_set():
                await asyncio.Event().wait()
            return {"type": "lifespan.startup"}

        async def send(_: object) -> None:
            started.set()

        self._ministack = asyncio.create_task(app.app({"type": "lifespan"}, receive, send))
        waiting = asyncio.create_task(started.wait())
        done, _ = await asyncio.wait({self._ministack, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _watch(self) -> NoReturn:
        """What AWS does without being asked: measure, compare with the alarms, forget what is old."""
        from imgpipe.engine import alarms, metrics, retention

        while True:
            try:
                metrics.look_at_queues()
                alarms.look_at_alarms()
                metrics.prune()
                retention.prune()
            except Exception:
                logging.getLogger("imgpipe.engine").exception("A round of metrics and alarms failed")
            await asyncio.sleep(_ROUND)

    def _activity(self) -> int:
        from ministack.services import lambda_svc

        running, _ = lambda_svc.executions_in_flight()
        # A running invocation is activity although nobody calls.
        return time.monotonic_ns() if running else self._guard.requests

    async def _end(self) -> NoReturn:
        """Save, and take every worker along. Idle connections are not waited for."""
        from ministack.core import lambda_runtime
        from ministack.services import lambda_svc

        lambda_svc._sqs_esm_concurrency = lambda *_: 0
        deadline = time.monotonic() + _DRAIN
        while lambda_svc.executions_in_flight()[0] and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        try:
            await self._checkpoint.save()
        except Exception:
            logging.getLogger("imgpipe.engine").exception("The state could not be saved")
        for worker in [one for pool in list(lambda_runtime._workers.values()) for one in pool]:
            if worker._proc is not None:
                worker._proc.kill()
        if os.getpgrp() == os.getpid():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.killpg(0, signal.SIGTERM)
        os._exit(0)


def _protocol(application: Any) -> Callable[[], asyncio.Protocol]:
    """Makes the HTTP side of each connection.

    Without uvicorn's Server: that takes the signals, and wakes the process ten times a second as long as it lives.
    """
    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    from uvicorn.server import ServerState

    config = Config(
        application,
        http=HttpToolsProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # a request is what it says on this machine, whatever X-Forwarded-For claims
        timeout_keep_alive=75,
    )
    config.load()
    connections = ServerState()
    return lambda: HttpToolsProtocol(config, connections, {})


if __name__ == "__main__":
    main()
