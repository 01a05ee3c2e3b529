"""Programs and ports that stand in for Docker and LocalStack where the real ones could not be made to fail."""

from __future__ import annotations

import shlex
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HEALTHY = '{"services": {"s3": "running"}, "edition": "community", "version": "4.14.0"}'


@dataclass
class FakeDocker:
    """Executables on a PATH of their own. `says` makes one answer to the arguments that a shell pattern fits."""

    folder: Path
    answers: dict[str, list[str]] = field(default_factory=dict)

    def says(self, pattern: str, out: str = "", err: str = "", status: int = 0, program: str = "docker") -> FakeDocker:
        """The first pattern that fits answers; where none does, the program succeeds without a word."""
        speak = f"printf '%s\\n' {shlex.quote(out)}; " if out else ""
        complain = f"printf '%s\\n' {shlex.quote(err)} >&2; " if err else ""
        self.answers.setdefault(program, []).append(f"{pattern}) {speak}{complain}exit {status};;")
        script = "\n".join(
            (
                "#!/bin/sh",
                f'printf "%s %s port=%s\\n" {program} "$*" "$LOCALSTACK_PORT" >>{self.folder}/calls',
                'case "$*" in',
                *self.answers[program],
                "esac",
            )
        )
        file = self.folder / program
        file.write_text(script + "\n")
        file.chmod(0o755)
        return self

    @property
    def calls(self) -> list[str]:
        """Every command line so far, with the port that it was given."""
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []


@contextmanager
def mute(greeting: bytes | None = None) -> Iterator[int]:
    """A port that takes connections and never answers; one with a greeting says that, and hangs up."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def greet() -> None:
            with suppress(OSError):
                while True:
                    caller = listener.accept()[0]
                    caller.sendall(greeting or b"")
                    caller.shutdown(socket.SHUT_WR)
                    caller.recv(1000)
                    caller.close()

        if greeting is not None:
            threading.Thread(target=greet, daemon=True).start()
        yield int(listener.getsockname()[1])
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
