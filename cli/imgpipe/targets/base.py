"""What every place to run the pipeline has to offer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Progress = Callable[[str], None]
"""Called with a short phrase ("Creating the stack") whenever long work enters its next step."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a target's AWS. `endpoint_url` and the keys are None where boto3's own chain decides."""

    target: str
    region: str
    endpoint_url: str | None = None
    profile: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None


class Target(Protocol):
    """One of `local`, `localstack`, `aws`. Every method raises ImgpipeError with the next command to type."""

    name: str

    def connect(self) -> Connection:
        """How to reach what is running now; raises `not_up` (exit 4) where nothing is."""
        ...

    def start(self, progress: Progress) -> Connection:
        """Make the target reachable, starting it where it is ours to start; a running one is left alone."""
        ...

    def stop(self) -> bool:
        """Stop what `start` started and keep its state; False when nothing ran."""
        ...

    def destroy(self) -> None:
        """Stop it and remove its state; nothing happens where there is none."""
        ...
