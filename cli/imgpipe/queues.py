"""How many messages a queue holds."""

from __future__ import annotations

from dataclasses import dataclass

from imgpipe.aws import Clients

_NUMBERS = "ApproximateNumberOfMessages"


@dataclass(frozen=True, slots=True)
class Depths:
    """Messages that wait, that somebody holds, and that may not be received yet. SQS says "approximately"."""

    waiting: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All that the queue holds."""
        return self.waiting + self.in_flight + self.delayed


def depths(clients: Clients, url: str) -> Depths:
    """What SQS itself says of the queue at `url`; CloudWatch is minutes behind."""
    wanted = [_NUMBERS, f"{_NUMBERS}NotVisible", f"{_NUMBERS}Delayed"]
    answer = clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"]
    return Depths(*(int(answer[name]) for name in wanted))
