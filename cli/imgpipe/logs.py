"""The function's log without gaps or repeats: late lines are found, lines of one millisecond are all kept."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from imgpipe.aws import Clients
from imgpipe.errors import usage
from imgpipe.failures import may_pass

OVERLAP_MS = 30_000
"""How late a line may arrive and still be found: each look goes back this far behind the newest line seen."""

Fetch = Callable[[int, str | None], Mapping[str, Any]]
"""Called with a start time (ms since the epoch) and a token; answers as FilterLogEvents does."""

_PLATFORM = ("START RequestId", "END RequestId", "REPORT RequestId", "INIT_START", "INIT_REPORT", "EXTENSION")
_LOUD = ("WARNING", "ERROR", "CRITICAL")
_TROUBLE = re.compile(
    r"\[ERROR\]|Traceback|Task timed out|(Runtime|Process) exited|Runtime\.\w+Error|Status: (timeout|error|failure)"
)
_ENDED_BADLY = ("timeout", "error", "failure")
_REQUEST = re.compile(r"RequestId: (\S+)|\b([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
_HELD = 2000  # lines of other requests that are kept in case they turn out to belong to the image that is asked for
_LONGEST_PAUSE = 60.0
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


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
        """DEBUG to CRITICAL; what the platform prints of its own is INFO, or ERROR where it tells of trouble."""
        if self.data is None:
            return "ERROR" if _TROUBLE.search(self.message) else "INFO"
        if not self._is_platform:
            return str(self.data.get("level", "INFO"))
        record = self.data.get("record")
        ended = record.get("status") if isinstance(record, Mapping) else ""
        return "ERROR" if ended in _ENDED_BADLY or _TROUBLE.search(str(record)) else "INFO"

    @property
    def is_plumbing(self) -> bool:
        """Whether the line is for machines: an embedded metric, or the platform's START, END and REPORT."""
        if self.data is not None and "_aws" in self.data:
            return True
        platform = self._is_platform if self.data is not None else self.message.startswith(_PLATFORM)
        return platform and self.level != "ERROR"

    @property
    def request_id(self) -> str | None:
        """The invocation that the line is about, where it says so."""
        if self.data is None:
            found = _REQUEST.search(self.message)
            return (found[1] or found[2]) if found else None
        record = self.data.get("record")
        inner = record.get("requestId") if isinstance(record, Mapping) else None
        identity = self.data.get("request_id") or self.data.get("requestId") or inner
        return None if identity is None else str(identity)

    @property
    def _is_platform(self) -> bool:
        """Whether Lambda itself wrote it, in its JSON format: {"time", "type": "platform.report", "record"}."""
        return self.data is not None and str(self.data.get("type", "")).startswith("platform.")

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

    def of(self, lines: Iterable[Line]) -> Iterator[Line]:
        """The lines that are wanted, in their order.

        An image's lines are those that name it, and those of the invocations that worked on it: that one was killed or
        timed out is said by Lambda, which knows the invocation only.
        """
        requests: set[str] = set()
        held: deque[Line] = deque(maxlen=_HELD)
        for line in lines:
            request, image = line.request_id, (line.data or {}).get("image_key")
            if self.key is None:
                belongs = True
            elif image == self.key:
                belongs = True
                if request is not None and request not in requests:
                    requests.add(request)
                    yield from (one for one in held if one.request_id == request and self._shows(one))
            else:
                belongs = image is None and request in requests
                if not belongs and image is None and request is not None:
                    held.append(line)
            if belongs and self._shows(line):
                yield line

    def _shows(self, line: Line) -> bool:
        return (not self.errors or line.level in _LOUD) and (self.plumbing or not line.is_plumbing)


def parse_age(text: str) -> float | None:
    """The seconds that "90s", "10m", "2h" or "7d" means; None for anything else."""
    match = re.fullmatch(r"(\d{1,9})([smhd])", text.strip())
    return float(int(match[1]) * _SECONDS[match[2]]) if match else None


def parse_since(text: str, now: datetime, option: str = "--since") -> datetime:
    """The moment that an age ago or an ISO-8601 time means; times without a zone are UTC."""
    if (age := parse_age(text)) is not None:
        try:
            return now - timedelta(seconds=age)
        except OverflowError:
            return datetime(1970, 1, 1, tzinfo=UTC)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        hint = "use 90s, 10m, 2h, 7d or a time such as 2026-01-31T12:00"
        raise usage(f"{option} cannot be {text!r}.", hint) from None
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


def read(fetch: Fetch, start: int) -> Iterator[Line]:
    """All events since `start` (ms) that can be read now, oldest first; pages are read as they are needed."""
    for page in _pages(fetch, start):
        yield from map(_line, page)


def follow(
    fetch: Fetch,
    start: int,
    *,
    trouble: Callable[[Exception], object],
    pause: Callable[[float], object] = time.sleep,
) -> Iterator[Line]:
    """Every event since `start` (ms), each once, without end; `pause` is called with seconds between looks.

    A line is found however late it comes, up to OVERLAP_MS behind the newest one, and two equal lines of one
    millisecond are two lines. A look that fails and may succeed later is told to `trouble`, which may raise to end it,
    and is made again, after longer and longer pauses.
    """
    seen: dict[object, int] = {}
    floor, seconds = start, 1.0
    while True:
        try:
            for identity, event in _identified(_pages(fetch, floor)):
                if identity not in seen:
                    seen[identity] = event["timestamp"]
                    yield _line(event)
            seconds = 1.0
        except Exception as error:
            if not may_pass(error):
                raise
            trouble(error)
            seconds = min(seconds * 2, _LONGEST_PAUSE)
        # A clock that runs ahead must not push the window past lines that are still to come.
        newest = min(max(seen.values(), default=start), int(time.time() * 1000))
        floor = max(floor, newest - OVERLAP_MS)
        seen = {identity: moment for identity, moment in seen.items() if moment >= floor}
        pause(seconds)


def _pages(fetch: Fetch, start: int) -> Iterator[list[Mapping[str, Any]]]:
    token: str | None = None
    while True:
        answer = fetch(start, token)
        yield sorted(answer["events"], key=lambda event: event["timestamp"])
        if not (following := answer.get("nextToken")) or following == token:
            return
        token = following


def _identified(pages: Iterable[list[Mapping[str, Any]]]) -> Iterator[tuple[object, Mapping[str, Any]]]:
    """Events with what tells them apart: CloudWatch's id, or their place among their equals where there is none."""
    equals: Counter[object] = Counter()
    for event in itertools.chain.from_iterable(pages):
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
