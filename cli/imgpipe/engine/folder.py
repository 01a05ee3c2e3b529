"""Where one stage's engine keeps what it has, and the locks that say who is using it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from imgpipe.errors import ImgpipeError


@dataclass(frozen=True, slots=True)
class Running:
    """An engine that is alive. `token` lets it prove that it is this one."""

    pid: int
    port: int
    token: str


@dataclass(frozen=True, slots=True)
class StageFolder:
    """The folder of one stage, mode 0700.

    The engine holds a lock on `record` for as long as it lives and the system drops it however the engine dies, so a
    record that is not locked is a leftover, whatever process has its pid by now.
    """

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def saved(self) -> Path:
        """What the services held when it was last looked; the functions' code lies beside it."""
        return self.state / "services.json"

    @property
    def objects(self) -> Path:
        return self.root / "s3"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def log(self) -> Path:
        return self.root / "engine.log"

    @property
    def region(self) -> Path:
        """Says in which region the stage lives."""
        return self.root / "region"

    @property
    def record(self) -> Path:
        return self.root / "engine.json"

    def create(self) -> None:
        """Make the folder; raises ImgpipeError where that is impossible."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.root.chmod(0o700)
        except OSError as error:
            raise _unusable(self.root, error) from error

    def create_inside(self) -> None:
        """Make the folders that the engine writes to; raises ImgpipeError where one cannot be written or is gone."""
        if self.saved.exists() and not self.objects.is_dir():
            raise refused(self.objects, f"the folder is missing, and {self.saved.name} speaks of what was in it")
        for path in (self.state, self.objects, self.tmp):
            try:
                path.mkdir(mode=0o700, exist_ok=True)
                probe = path / ".writable"
                probe.write_bytes(b"")
                probe.unlink()
            except OSError as error:
                raise _unusable(path, error) from error

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the right to start, stop or remove the engine; waits for another command that has it."""
        while True:
            self.create()
            try:
                lock = os.open(self.root / "command.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise _unusable(self.root, error) from error
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if _is_still(lock, self.root / "command.lock"):
                    yield
                    return
                # The command before this one removed the folder while we waited for it.
            finally:
                os.close(lock)

    def recorded(self) -> Running | None:
        """The engine that was started last, alive or not."""
        try:
            return Running(**json.loads(self.record.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def running(self) -> Running | None:
        """The engine that is alive now."""
        if not self.is_held():
            return None
        deadline = time.monotonic() + 2
        while (found := self.recorded()) is None and time.monotonic() < deadline:
            time.sleep(0.01)  # it took the lock a moment ago and has not written the record yet
        return found

    def is_held(self) -> bool:
        """Whether an engine lives here."""
        try:
            record = os.open(self.record, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(record, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(record)
        return False

    def hold(self, running: Running) -> int:
        """Called by the engine: lock the record and write it. The descriptor stays open until the process ends."""
        record = os.open(self.record, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + 2
        while True:
            try:
                fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # Someone may just be looking whether an engine is alive.
                if time.monotonic() > deadline:
                    raise ImgpipeError(
                        "engine_running", f"Another engine is using {self.root}.", "imgpipe status"
                    ) from None
                time.sleep(0.01)
        os.ftruncate(record, 0)
        os.write(record, json.dumps(asdict(running)).encode())
        return record


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _unusable(path: Path, error: OSError) -> ImgpipeError:
    reason = (error.strerror or str(error)).lower()
    return ImgpipeError(
        "state_unusable",
        f"The state of the engine cannot be kept in {path}: {reason}.",
        "IMGPIPE_HOME=FOLDER imgpipe up, with a folder that you can write to",
    )


def refused(path: Path, why: str) -> ImgpipeError:
    """A saved state that must not be used, and so overwritten, as it is."""
    return ImgpipeError(
        "state_corrupt",
        f"The saved state cannot be used: {path}: {why}. Nothing was changed.",
        "imgpipe down --yes starts afresh; until then the files stay where they are",
    )
