"""Soaks a pipeline of its own in mixed traffic while workers and the engine are killed, then balances the books.

`./scripts/soak` runs it. Exit status 0 only when nothing was lost, nothing is left over and no worker grows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from books import Sent, audit
from botocore.exceptions import BotoCoreError, ClientError
from memory import LONG_LIFE, Memory, growth, look, series

from imgpipe.aws import Clients
from imgpipe.engine.folder import StageFolder
from imgpipe.errors import ImgpipeError
from imgpipe.reprocess import Image, Reprocessing
from imgpipe.stack.deploy import describe
from imgpipe.targets.local import LocalTarget

STAGE, REGION = "soak", "us-east-1"
BACKLOG = 10
"""Messages that may wait; above it the traffic pauses, for a rate that is not sustained measures the queue alone."""
QUIET = 300.0
"""Seconds to wait for the queue to be empty; a message that a kill left hidden comes back after 70."""
DISTURBED = 0.45
"""The share of the time in which there are kills. Afterwards processes live long enough to see whether they grow."""
GROWTH = 0.10
ACTIONS = {"upload": 62, "overwrite": 14, "delete": 8, "undelete": 5, "reprocess": 10, "poison": 1}


@dataclass(frozen=True)
class Picture:
    """A file to send and how it has to end: "READY", or the code of its refusal."""

    name: str
    data: bytes
    end: str


def corpus() -> list[Picture]:
    """Every picture of the tests that the default settings decide, small photographs, and one of 12 megapixels."""
    sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
    import pictures

    from imgpipe.sample import sample_photo

    photos = [Picture(f"photo-{n}.jpg", sample_photo(1 + n / 2, seed=n), "READY") for n in range(6)]
    good = [Picture(name, one.make(), "READY") for name, one in pictures.GOOD.items() if not one.formats]
    bad = [Picture(name, one.make(), str(one.refusal)) for name, one in pictures.BAD.items() if not one.formats]
    large = Picture("large.jpg", sample_photo(12), "READY")
    return [one for one in (*photos * 4, *good, *bad, large) if len(one.data) < 5_000_000]


class Place:
    """The stage under test: its engine, its clients, and the commands that a person would type."""

    def __init__(self, home: Path, port: int | None) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("IMGPIPE_", "AWS_"))}
        said = {"IMGPIPE_HOME": str(home / "state"), "HOME": str(home), "IMGPIPE_STAGE": STAGE}
        self._env = kept | said | ({"IMGPIPE_PORT": str(port)} if port else {})
        self._home = home
        self.folder = StageFolder(home / "state" / STAGE)
        self.target = LocalTarget(STAGE, home / "state", port, REGION)

    def imgpipe(self, *arguments: str) -> tuple[int, Any]:
        """Run a command with --json: its exit status, and its document or None."""
        command = [sys.executable, "-P", "-m", "imgpipe", "--json", *arguments]
        done = subprocess.run(command, env=self._env, cwd=self._home, capture_output=True, text=True)
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None

    def start(self) -> None:
        """`imgpipe up`, as often as it takes while the machine is out of breath."""
        status, said = self.imgpipe("up")
        if status:
            raise SystemExit(f"soak: imgpipe up ended with {status}: {said}")
        self.clients = Clients(self.target.connect())
        view = describe(self.clients, STAGE)
        if view is None or view.outputs is None:
            raise SystemExit("soak: the stack has no outputs")
        self.names = view.outputs

    def waiting(self) -> int:
        """Messages that wait, are in work or are delayed."""
        kinds = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
        queue = {"QueueUrl": self.names.jobs_queue_url, "AttributeNames": kinds}
        return sum(map(int, self.clients["sqs"].get_queue_attributes(**queue)["Attributes"].values()))

    def wait_until_quiet(self) -> float:
        """Seconds until the queue had been empty for three."""
        began = empty = time.monotonic()
        while (now := time.monotonic()) - empty < 3:
            if self.waiting():
                empty = now
            if now - began > QUIET:
                raise SystemExit(f"soak: {self.waiting()} messages are still in the queue after {QUIET:.0f} s")
            time.sleep(0.2)
        return empty - began


class Chaos(threading.Thread):
    """Kills a worker every few seconds, and the engine now and then; brings it up again."""

    def __init__(self, place: Place, stop: threading.Event, until: float, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._place, self._stop_it, self._until, self._chance = place, stop, until, chance
        self.kills: Counter[str] = Counter()
        self.engine_kills: list[float] = []
        self.trouble: BaseException | None = None

    def run(self) -> None:
        try:
            while time.monotonic() < self._until and not self._stop_it.wait(self._chance.uniform(2, 8)):
                if self._chance.random() < 0.25:
                    self.kill_engine()
                else:
                    self.kill_worker()
        except BaseException as error:
            self.trouble = error

    def kill_worker(self) -> None:
        _, workers = look(self._place.folder)
        if workers:
            self._kill(self._chance.choice(sorted(workers)), "worker")

    def kill_engine(self) -> None:
        if running := self._place.folder.running():
            self.engine_kills.append(time.time())
            self._kill(running.pid, "engine")
        self._stop_it.wait(self._chance.uniform(0, 1))
        self._place.start()

    def _kill(self, pid: int, what: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills[what] += 1


class Traffic:
    """Uploads, overwrites, deletes, undeletes, reprocesses, and sends messages that are no events."""

    def __init__(self, place: Place, pictures: list[Picture], chance: random.Random) -> None:
        self._place, self._pictures, self._chance = place, pictures, chance
        self.sent: dict[str, Sent] = {}
        self.poison: dict[str, float] = {}
        self.done: Counter[str] = Counter()

    def run(self, until: float, rate: float) -> None:
        """One action at a time, `rate` a second, for as long as the pipeline keeps up with them."""
        due = time.monotonic()
        while (now := time.monotonic()) < until:
            due = max(due + 1 / rate, now - 1)
            with contextlib.suppress(BotoCoreError, ClientError):
                while self._place.waiting() > BACKLOG and time.monotonic() < until:
                    self.done["pauses"] += 1
                    time.sleep(0.2)
            self._act(self._chance.choices(list(ACTIONS), weights=list(ACTIONS.values()))[0])
            time.sleep(max(0.0, due - time.monotonic()))

    def _act(self, action: str) -> None:
        served = {"overwrite": True, "delete": True, "reprocess": True, "undelete": False}.get(action)
        keys = [key for key, one in self.sent.items() if one.sure and one.version and (not one.marker) is served]
        picture = self._chance.choice(self._pictures)
        if served is None or not keys:
            action = action if action == "poison" else "upload"
            key = f"{len(self.sent):05d}/{picture.name}"
        else:
            key = self._chance.choice(keys)
        one = self.sent.setdefault(key, Sent()) if action != "poison" else Sent()
        one.sure = False
        try:
            self._call(action, key, one, picture)
        except (BotoCoreError, ClientError):
            self.done["unanswered"] += 1
            return
        one.sure, one.last = True, action
        if action != "reprocess":
            one.times = [*(one.times if action in ("delete", "undelete") else ()), time.time()]
        self.done[action] += 1

    def _call(self, action: str, key: str, one: Sent, picture: Picture) -> None:
        s3, where = self._place.clients["s3"], {"Bucket": self._place.names.input_bucket, "Key": key}
        began = time.time()
        if action in ("upload", "overwrite"):
            version = s3.put_object(**where, Body=picture.data)["VersionId"]
            one.ends[version], one.puts[version], one.version = picture.end, began, version
        elif action == "delete":
            one.marker = s3.delete_object(**where)["VersionId"]
        elif action == "undelete":
            s3.delete_object(**where, VersionId=one.marker)
            one.marker, one.remade = None, True
        elif action == "reprocess":
            one.remade = True
            work = Reprocessing(self._place.clients, self._place.names, wait=False, timeout=5)
            self.done["unanswered"] += sum(
                one.state == "not_sent" for one in work.results([Image(key)], lambda _: None)
            )
        else:
            body = f"soak: message {len(self.poison)} is no event"
            self._place.clients["sqs"].send_message(QueueUrl=self._place.names.jobs_queue_url, MessageBody=body)
            self.poison[body] = began


def soak(place: Place, minutes: float, rate: float, seed: int) -> dict[str, Any]:
    """Run it all; returns the figures, with `ok`."""
    chance, more, stop = random.Random(seed), random.Random(seed + 1), threading.Event()  # noqa: S311 - repeatable
    traffic = Traffic(place, corpus(), chance)
    place.start()
    began, wall, seconds = time.monotonic(), time.time(), minutes * 60
    chaos = Chaos(place, stop, began + seconds * DISTURBED, more)
    memory = Memory(place.folder, stop)
    try:
        memory.start()
        chaos.start()
        traffic.run(began + seconds - 2, rate)
        stop.set()
        chaos.join()
        memory.join()
        stop.clear()
        # The last ones hit a pipeline that is at work, too.
        chaos.kill_worker()
        traffic.run(began + seconds, rate)
        chaos.kill_engine()
    finally:
        stop.set()
        for thread in filter(threading.Thread.is_alive, (chaos, memory)):
            thread.join()
    if chaos.trouble:
        raise chaos.trouble
    settled = place.wait_until_quiet()
    _, before = place.imgpipe("reconcile", "--older-than", "1s")
    status, _ = place.imgpipe("reconcile", "--fix", "--older-than", "1s")
    place.wait_until_quiet()
    again, second = place.imgpipe("reconcile", "--fix", "--older-than", "1s")
    books = audit(place.clients, place.names, traffic.sent, traffic.poison, chaos.engine_kills)
    grown = [one for one in map(growth, memory.workers.values()) if one is not None]
    # A short soak has nothing to say about memory; a long one has to.
    flat = all(one < GROWTH for one in grown) and (bool(grown) or seconds * (1 - DISTURBED) < LONG_LIFE + 10)
    repaired = (status, again) == (0, 0) and not any(second["found"].values())
    calm = [wait for at, wait in books.waits if at > wall + seconds * DISTURBED + 10 and at < wall + seconds - 5]
    return {
        "ok": books.balance and repaired and flat,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
        "date": time.strftime("%Y-%m-%d", time.gmtime(wall)),
        "minutes": minutes,
        "actions": dict(traffic.done),
        "images_per_second": round((traffic.done["upload"] + traffic.done["overwrite"]) / seconds, 2),
        "seconds_to_ready": quantiles([wait for _, wait in books.waits]),
        "seconds_to_ready_without_kills": quantiles(calm),
        "seconds_to_quiet": round(settled, 1),
        "kills": dict(chaos.kills),
        "worker_growth": [round(one, 3) for one in grown],
        "worker_mb": series(memory.workers),
        "engine_mb": series(memory.engines),
        "found_before_fix": before and before["found"],
        "repaired": repaired,
        "books": {name: value for name, value in vars(books).items() if name != "waits"},
    }


def quantiles(values: list[float]) -> dict[str, float]:
    """Median and 95th percentile; empty of fewer than two values."""
    if len(values) < 2:
        return {}
    cuts = statistics.quantiles(values, n=20)
    return {"p50": round(cuts[9], 2), "p95": round(cuts[18], 2)}


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """The figures for people."""
    for name, value in figures.items():
        if name == "books":
            yield from (f"  {what:<18} {len(one) if isinstance(one, list) else one}" for what, one in value.items())
            yield from (
                f"    {what}: {text}" for what, one in value.items() if isinstance(one, list) for text in one[:5]
            )
        else:
            yield f"{name.replace('_', ' '):<32} {json.dumps(value) if isinstance(value, dict | list) else value}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--port", type=int, help="where the engine listens (default: a free port)")
    parser.add_argument("--rate", type=float, default=4, help="actions a second, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="imgpipe-soak-") as home:
        place = Place(Path(home), given.port)
        try:
            figures = soak(place, given.minutes, given.rate, given.seed)
        except KeyboardInterrupt:
            return 130
        except ImgpipeError as error:
            sys.exit(f"soak: {error.message}\n  try: {error.hint}")
        finally:
            # A second Ctrl-C must not keep the engine alive.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            place.target.destroy()
    sys.stdout.write((json.dumps(figures, indent=2) if given.json else "\n".join(lines(figures))) + "\n")
    return 0 if figures["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
