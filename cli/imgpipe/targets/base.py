"""What every place to run the pipeline has to offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from imgpipe.stack.bundle import Bundle

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


AWS_ONLY = ("AlarmEmail", "PermissionsBoundary", "KmsKeyArn")
"""Parameters that name something of a real account, which no emulator has."""


def emulator_parameters(said: Mapping[str, str]) -> dict[str, str]:
    """What differs on an emulator: two workers, retries within seconds, and nothing that only an account has."""
    return {
        "MaximumConcurrency": "2",
        **{name: value for name, value in said.items() if name not in AWS_ONLY},
        "Backoff": "1,1,2,2,3,3,5",
        # Longer than the function's 60 s by just enough: here a worker starts as soon as a message was received.
        "VisibilityTimeout": "70",
    }


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
        """Stop it and remove its state; nothing happens where there is none, or where it is not ours to stop."""
        ...

    def parameters(self, said: Mapping[str, str]) -> dict[str, str]:
        """The template's parameters here: what the configuration says, and what is different on this target."""
        ...

    def bundle(self, parameters: Mapping[str, str], progress: Progress) -> Bundle:
        """The function's code as this target runs it; `parameters` are those that `parameters` returned."""
        ...
