"""An emulator that holds everybody to their IAM policies, over TLS and, beside it, over plain HTTP.

Run as a program it is that emulator: `python enforcing.py TLS_PORT PLAIN_PORT`. It says one line, the path of its
certificate, once it serves, and ends when its stdin does, so that it outlives nobody.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REGION = "us-east-1"


@dataclass(frozen=True)
class Enforcing:
    """Where it listens, and the file with the certificate that its TLS side shows."""

    tls: str
    plain: str
    certificate: str


@contextmanager
def running(folder: Path, tls: int, plain: int) -> Iterator[Enforcing]:
    """The emulator with its state below `folder`; it ends with all of its workers."""
    from imgpipe.engine.folder import StageFolder
    from imgpipe.engine.supervisor import environment

    there = StageFolder(folder)
    there.create_inside()
    settings = environment(there, tls, REGION, os.environ) | {"AUTH": "true", "USE_SSL": "1"}
    with (
        there.log.open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-P", __file__, str(tls), str(plain)],
            env=settings,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            text=True,
        ) as process,
    ):
        assert process.stdout
        try:
            certificate = process.stdout.readline().strip()
            if not certificate:
                raise RuntimeError(f"The emulator did not start:\n{there.log.read_text()}")
            yield Enforcing(f"https://127.0.0.1:{tls}", f"http://127.0.0.1:{plain}", certificate)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def main() -> None:
    """Serve until stdin ends."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack import app
    from ministack.core import tls

    from imgpipe.engine import patches
    from imgpipe.engine.guard import Guard

    parent = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the emulator prints belongs in the log
    os.environ["IMGPIPE_ENGINE_PID"] = str(os.getpid())
    del os.environ["LOG_LEVEL"]
    patches.apply()
    app.PERSIST_STATE = False
    config = Config()
    config.certfile, config.keyfile = tls.resolve_tls_material()
    config.bind, config.insecure_bind = [f"127.0.0.1:{sys.argv[1]}"], [f"127.0.0.1:{sys.argv[2]}"]
    config.loglevel = "WARNING"

    async def told_to_end() -> None:
        # hypercorn asks for this once it listens.
        print(config.certfile, file=parent, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        os.killpg(0, signal.SIGKILL)

    served: Any = Guard(_discreet(app.app), token="", about={})
    asyncio.run(serve(served, config, shutdown_trigger=told_to_end))


def _discreet(app: Any) -> Any:
    """`app`, saying 403 for a missing object to whoever may not list its bucket: S3 does so, the emulator does not."""
    from ministack.core.iam_evaluator import enforce
    from ministack.core.responses import get_region
    from ministack.core.router import extract_access_key_id

    denied = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"

    async def discreet(scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
        path = re.match(r"/([^/]+)/.", scope.get("path", ""))
        asks = scope.get("method") in ("GET", "HEAD") and "/s3/aws4_request" in headers.get("authorization", "")
        hidden = False

        async def told(message: Any) -> None:
            nonlocal hidden
            if path and asks and message.get("status") == 404:
                arn = f"arn:aws:s3:::{path[1]}"
                hidden = bool(enforce(extract_access_key_id(headers, {}), "s3:ListBucket", "s3", get_region(), arn))
                if hidden:
                    head = scope["method"] == "HEAD"
                    kind = [(b"content-type", b"application/xml"), (b"content-length", b"%d" % len(denied))]
                    await send({"type": "http.response.start", "status": 403, "headers": kind})
                    await send({"type": "http.response.body", "body": b"" if head else denied})
            if not hidden:
                await send(message)

        await app(scope, receive, told)

    return discreet


if __name__ == "__main__":
    main()
