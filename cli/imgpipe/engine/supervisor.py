"""Starts, finds and stops the engine of one stage, from whichever command is run."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from imgpipe.engine.folder import Running, StageFolder
from imgpipe.errors import ExitStatus, ImgpipeError, not_up
from imgpipe.targets.base import Progress

DEFAULT_PORT = 4580
ACCOUNT = "000000000000"

_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 5.0
_KILL_TIMEOUT = 60.0
"""Seconds for the kernel to end a killed process: at once, but for a machine that is out of breath."""
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""All that the engine, and so every function in it, sees of the user's environment."""

_children: list[subprocess.Popen[str]] = []


def find(folder: StageFolder, stage: str) -> Running:
    """The engine of the stage, alive and answering; raises ImgpipeError (exit 4) where there is none."""
    if running := _settled(folder, stage):
        return running
    raise not_up(f"The stage {stage!r} is not up.", _command(stage, "up"))


def _settled(folder: StageFolder, stage: str) -> Running | None:
    """The engine once it answers, None once there is none: one that was just killed takes a moment to end."""
    deadline = time.monotonic() + _STOP_TIMEOUT
    while running := folder.running():
        if _answers(running):
            return running
        if time.monotonic() > deadline:
            raise not_up(
                f"The engine of the stage {stage!r} (process {running.pid}) does not answer on port {running.port}.",
                f"{_command(stage, 'down --keep-data')}, then {_command(stage, 'up')}",
            )
        time.sleep(0.05)
    return None


def start(folder: StageFolder, stage: str, port: int | None, region: str, progress: Progress) -> Running:
    """The engine of the stage, started if it is not running yet.

    `port` None means the port it had last, else 4580, else a free one. Raises ImgpipeError for a port that is taken
    (exit 4), a folder or a saved state that cannot be used, and an engine that ends while it starts (exit 1).
    """
    with folder.exclusive():
        if running := _settled(folder, stage):
            return running
        progress("Starting the engine")
        last = folder.recorded()
        with _listener(folder, stage, port, last.port if last else None) as listener:
            return _launch(folder, stage, listener, region)


def stop(folder: StageFolder) -> bool:
    """End the engine and every worker it has; False where none ran. What it holds is kept."""
    if not folder.is_held():
        return False
    with folder.exclusive():
        return _end(folder)


def destroy(folder: StageFolder) -> None:
    """End the engine and remove the stage's folder; nothing happens where there is none."""
    if not folder.root.is_dir():
        return
    with folder.exclusive():
        _end(folder)
        try:
            shutil.rmtree(folder.root)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            message = f"The state of the engine cannot be removed: {error.filename}: {reason}."
            raise ImgpipeError("state_unusable", message, f"rm -r {folder.root}") from error


def _listener(folder: StageFolder, stage: str, port: int | None, last: int | None) -> socket.socket:
    """A listening socket, made here and inherited by the engine, so that nobody can take the port in between."""
    if port is not None:
        if listener := _listen(port):
            return listener
        raise _port_busy(folder, port)
    for candidate in (last, DEFAULT_PORT, 0):
        if candidate is not None and (listener := _listen(candidate)):
            return listener
    raise ImgpipeError("port_busy", "No port on 127.0.0.1 is free.", _command(stage, "up"), ExitStatus.UNREACHABLE)


def _listen(port: int) -> socket.socket | None:
    with socket.socket() as probe:
        # macOS lets 127.0.0.1 be taken from a program that listens on every address.
        probe.settimeout(1)
        if port and probe.connect_ex(("127.0.0.1", port)) == 0:
            return None
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError:
        listener.close()
        return None
    return listener


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _port_busy(folder: StageFolder, port: int) -> ImgpipeError:
    for other in folder.root.parent.glob("*/engine.json"):
        there = StageFolder(other.parent)
        if there != folder and (running := there.running()) and running.port == port:
            who = f"the engine of the stage {other.parent.name!r}"
            hint = f"imgpipe --stage {other.parent.name} down --keep-data"
            break
    else:
        who, hint = "another program, LocalStack perhaps", f"lsof -i :{port} names it"
    message = f"Port {port} on 127.0.0.1 is taken by {who}."
    return ImgpipeError("port_busy", message, f"IMGPIPE_PORT={_free_port()} imgpipe up; {hint}", ExitStatus.UNREACHABLE)


def _launch(folder: StageFolder, stage: str, listener: socket.socket, region: str) -> Running:
    shutil.rmtree(folder.tmp, ignore_errors=True)  # what workers of a killed engine left behind
    descriptor = listener.fileno()
    with folder.log.open("ab") as log:
        if log.tell() > 1_000_000:
            log.truncate(0)
        began = log.tell()
        child = subprocess.Popen(
            # -P: the folder that the command is run in must not shadow a module.
            [sys.executable, "-P", "-m", "imgpipe.engine.server", str(folder.root), stage, str(descriptor)],
            env=environment(folder, listener.getsockname()[1], region, os.environ),
            cwd=folder.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=[descriptor],
            start_new_session=True,
            text=True,
        )
    _children.append(child)
    import botocore.session  # noqa: F401 - whoever starts an engine calls it: this takes as long as its start

    try:
        said = _hear(child)
        if "error" in said:
            told = said["error"]
            raise ImgpipeError(told["code"], told["message"], told["hint"], ExitStatus(told["status"]))
        if not said.get("ready"):
            raise _died(folder, began)
        return find(folder, stage)
    except BaseException:
        _kill(child.pid)
        child.wait()
        raise


def _hear(child: subprocess.Popen[str]) -> dict[str, Any]:
    """The one line that the engine says about its start; empty where it ended, or hung, without a word."""
    with child.stdout as pipe:  # type: ignore[union-attr]
        readable, _, _ = select.select([pipe], [], [], _START_TIMEOUT)
        line = pipe.readline() if readable else ""
    said: dict[str, Any] = json.loads(line) if line else {}
    return said


def _died(folder: StageFolder, began: int) -> ImgpipeError:
    with folder.log.open("rb") as log:
        log.seek(began)
        lines = log.read().decode(errors="replace").strip().splitlines()
    last = "; it said:\n" + "\n".join(lines[-5:]) if lines else " without a word"
    return ImgpipeError("engine_failed", f"The engine ended while it started{last}", f"less {folder.log}")


def environment(folder: StageFolder, port: int, region: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What the engine is started with: a few harmless names of `environ`, and the settings of ministack."""
    return {
        **{name: environ[name] for name in _KEPT if name in environ},
        # Functions must find neither the user's profiles nor their mistakes.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": region,
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder.state),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder.objects),
        "TMPDIR": str(folder.tmp),
        "LOG_LEVEL": "WARNING",
        "LAMBDA_EXECUTOR": "local",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": f"unix://{folder.root / 'no-docker.sock'}",
    }


def _answers(running: Running) -> bool:
    """Whether what listens on the port is the engine that the record speaks of."""
    from imgpipe.engine.guard import CHALLENGE_HEADER, HEALTH_PATH, proof

    challenge = secrets.token_hex(16)
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    try:
        connection.request("GET", HEALTH_PATH, headers={CHALLENGE_HEADER: challenge})
        answer = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return isinstance(answer, dict) and answer.get("proof") == proof(running.token, challenge)


def _end(folder: StageFolder) -> bool:
    if (running := folder.running()) is None:
        return False
    for end, seconds in ((_terminate, _STOP_TIMEOUT), (_kill, _KILL_TIMEOUT)):
        end(running.pid)
        deadline = time.monotonic() + seconds
        while folder.is_held() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not folder.is_held():
            _reap()
            return True
    raise ImgpipeError("engine_stuck", f"The engine (process {running.pid}) does not end.", f"kill -9 {running.pid}")


def _terminate(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def _kill(pid: int) -> None:
    """Kill the engine with its workers: it leads a session, and they are in its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _reap() -> None:
    """Collect engines that this process started itself."""
    for child in _children[:]:
        if child.poll() is not None:
            _children.remove(child)


def _command(stage: str, verb: str) -> str:
    return f"imgpipe {verb}" if stage == "dev" else f"imgpipe --stage {stage} {verb}"
