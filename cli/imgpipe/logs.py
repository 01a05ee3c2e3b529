"""The function's log without gaps or repeats: late lines are found, lines of one millisecond are all kept."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from imgpipe.aws import Clients
from imgpipe.errors import usage

OVERLAP_MS = 30_000
"""How late a line may arrive and still be found: each look goes back this far behind the newest line seen."""

Fetch = Callable[[int, str | None], Mapping[str, Any]]
"""Called with a start time (ms since the epoch) and a token; answers as FilterLogEvents does."""

_PLATFORM = ("START RequestId", "END RequestId", "REPORT RequestId", "INIT_START", "INIT_REPORT", "EXTENSION")
_LOUD = ("WARNING", "ERROR", "CRITICAL")
_TROUBLE = re.compile(r"\[ERROR\]|Traceback|Task timed out|Runtime exited|Process exited|Runtime\.\w+Error")


@dataclass(frozen=True, slots=True)
class Line:
    """One log event. `data` is what its JSON says; None where the line is no JSON object."""

    timestamp: int
    stream: str
    message: str
    data: Mapping[str, Any] | None

    @property
    def when(self) -> datetime:
        """The moment of the event, UTC."""
        return datetime.fromtimestamp(self.timestamp / 1000, UTC)

    @property
    def level(self) -> str:
        """DEBUG to CRITICAL; what the runtime prints of its own is INFO, or ERROR where it tells of trouble."""
        if self.data is not None:
            return str(self.data.get("level", "INFO"))
        return "ERROR" if _TROUBLE.search(self.message) else "INFO"

    @property
    def is_plumbing(self) -> bool:
        """Whether the line is for machines: an embedded metric, or the runtime's own START, END and REPORT."""
        if self.data is not None:
            return "_aws" in self.data
        return self.message.startswith(_PLATFORM)

    def to_json(self) -> dict[str, Any]:
        """The line as `imgpipe logs --json` prints it: the message is an object where it is JSON."""
        moment = self.when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"timestamp": moment, "stream": self.stream, "message": self.data or self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which lines: of one image, warnings and errors only, with or without the plumbing."""

    key: str | None = None
    errors: bool = False
    plumbing: bool = False

    def takes(self, line: Line) -> bool:
        """Whether the line is wanted."""
        if self.key is not None and (line.data is None or line.data.get("image_key") != self.key):
            return False
        return (not self.errors or line.level in _LOUD) and (self.plumbing or not line.is_plumbing)


def parse_since(text: str, now: datetime) -> datetime:
    """The moment that "90s", "10m", "2h", "7d" ago or an ISO-8601 time means; times without a zone are UTC."""
    if match := re.fullmatch(r"(\d{1,9})([smhd])", text.strip()):
        unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[match[2]]
        try:
            return now - timedelta(**{unit: int(match[1])})
        except OverflowError:
            return datetime(1970, 1, 1, tzinfo=UTC)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise usage(f"--since cannot be {text!r}.", "use 90s, 10m, 2h, 7d or a time such as 2026-01-31T12:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def fetcher(clients: Clients, group: str) -> Fetch:
    """Reads a log group; one that does not exist yet is empty."""
    client = clients["logs"]

    def fetch(start: int, token: str | None) -> Mapping[str, Any]:
        more = {"nextToken": token} if token else {}
        try:
            answer: Mapping[str, Any] = client.filter_log_events(logGroupName=group, startTime=start, **more)
        except client.exceptions.ResourceNotFoundException:
            return {"events": []}
        return answer

    return fetch


def look(fetch: Fetch, start: int) -> list[Mapping[str, Any]]:
    """All events since `start` that can be read now, oldest first."""
    events: list[Mapping[str, Any]] = []
    token: str | None = None
    while True:
        answer = fetch(start, token)
        events += answer["events"]
        if not (following := answer.get("nextToken")) or following == token:
            return sorted(events, key=lambda event: event["timestamp"])
        token = following


def tail(
    fetch: Fetch, start: int, *, follow: bool, pause: Callable[[], object] = lambda: time.sleep(1)
) -> Iterator[Line]:
    """Every event since `start` (ms), each once; with `follow` without end, calling `pause` between looks.

    A line is found however late it comes, up to OVERLAP_MS behind the newest one, and two equal lines of one
    millisecond are two lines.
    """
    seen: dict[object, int] = {}
    floor = start
    while True:
        for identity, event in _identified(look(fetch, floor)):
            if identity not in seen:
                seen[identity] = event["timestamp"]
                yield _line(event)
        if not follow:
            return
        # A clock that runs ahead must not push the window past lines that are still to come.
        newest = min(max(seen.values(), default=start), int(time.time() * 1000))
        floor = max(floor, newest - OVERLAP_MS)
        seen = {identity: moment for identity, moment in seen.items() if moment >= floor}
        pause()


def _identified(events: list[Mapping[str, Any]]) -> Iterator[tuple[object, Mapping[str, Any]]]:
    """Events with what tells them apart: CloudWatch's id, or their place among their equals where there is none."""
    equals: Counter[object] = Counter()
    for event in events:
        if identity := event.get("eventId"):
            yield identity, event
            continue
        same = (event.get("logStreamName", ""), event["timestamp"], event["message"])
        equals[same] += 1
        yield (*same, equals[same]), event


def _line(event: Mapping[str, Any]) -> Line:
    message = str(event["message"]).rstrip("\r\n")
    data = None
    if message.startswith("{"):
        try:
            data = json.loads(message)
        except ValueError:
            data = None
    return Line(event["timestamp"], event.get("logStreamName", ""), message, data)
