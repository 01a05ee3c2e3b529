"""The pipeline on the local engine: how long one photo takes, how many go through at once, and what `up` costs."""

from __future__ import annotations

import statistics
from itertools import pairwise
from pathlib import Path

from benchmarks.harness import Chart, Measured, Options, Part, Ratio, Table
from benchmarks.localstack import against_localstack
from benchmarks.stage import standing
from benchmarks.traffic import WORKERS, Alone, Burst, Latency, burst, in_process, one_at_a_time


def run(options: Options) -> Part:
    """Everything on one stage, brought up and taken down several times."""
    photo = _photo(options.folder)
    count = 40 if options.quick else 300
    with standing(options.folder) as stage:
        ups: dict[str, list[float]] = {"cold": [], "again": [], "down": []}
        for number in range(2 if options.quick else 5):
            options.progress(f"pipeline: up and down, round {number + 1}")
            ups["cold"].append(stage.imgpipe("up")[0])
            ups["again"].append(stage.imgpipe("up")[0])
            ups["down"].append(stage.imgpipe("down", "--yes")[0])
        stage.imgpipe("up")
        options.progress("pipeline: one photo at a time")
        latency = one_at_a_time(stage, photo, 8 if options.quick else 40)
        options.progress(f"pipeline: {count} photos at once")
        alone, queued = [in_process(options.folder, photo, count // 4)], list[Burst]()
        for number in range(2):
            queued.append(burst(stage, photo, count, f"queued{number}", queue_first=True))
            alone.append(in_process(options.folder, photo, count // 4))
        sent = burst(stage, photo, count // 2, "sent", queue_first=False)
        alone.append(in_process(options.folder, photo, count // 4))
    localstack, missing = against_localstack(statistics.median(ups["cold"]), options)
    return _part(latency, queued, sent, alone, ups, localstack, missing)


def _photo(folder: Path) -> bytes:
    """The phone's photo of the imaging part, or one made by code."""
    found = folder / "pictures" / "12mp-phone.jpg"
    if found.is_file():
        return found.read_bytes()
    from imgpipe.sample import sample_photo

    return sample_photo(12)


# ---------------------------------------------------------------- what came of it


def _part(
    latency: Latency,
    queued: list[Burst],
    sent: Burst,
    alone: list[Alone],
    ups: dict[str, list[float]],
    localstack: list[Ratio],
    missing: list[str],
) -> Part:
    rate = statistics.median(one.rate for one in alone)
    shares, at_once = _shares([*queued, sent], alone), statistics.median(one.rate for one in queued)
    handler, visible = statistics.median(latency.handler), statistics.median(latency.visible)
    up, again, down = (statistics.median(ups[name]) for name in ("cold", "again", "down"))
    return Part(
        name="pipeline",
        tables=[
            _one_by_one(latency),
            _at_once(queued, sent, alone, shares),
            Table(
                "imgpipe up and down, s",
                ["up, nothing there", "up, nothing changed", "down"],
                [[f"{up:.2f}", f"{again:.2f}", f"{down:.2f}"]],
                f"Medians of {len(ups['cold'])} rounds of whole commands.",
            ),
            *_memory(sent),
        ],
        ratios=[
            Ratio("burst/in-process", statistics.median(shares[:-1]), f"{at_once:.1f} images/s against {rate:.1f}"),
            Ratio("latency/handler", visible / handler, f"{visible:.0f} ms against {handler:.0f} ms"),
            *localstack,
        ],
        charts=[
            Chart(
                "pipeline",
                f"{queued[0].photos} photos of 12 MP at once",
                "images/s",
                [("", {"in-process": rate, "queued before": at_once, "sent meanwhile": sent.rate})],
            )
        ],
        notes=["All of it on one machine: the engine, its workers and whoever sends share the cores."],
        missing=missing,
        measured=[
            Measured("imgpipe", "up, nothing there", wall_ms=1000 * up),
            Measured("imgpipe", "up, nothing changed", wall_ms=1000 * again),
            Measured("imgpipe", "down", wall_ms=1000 * down),
            Measured("imgpipe", "one 12 MP photo", wall_ms=visible, extra={"handler_ms": handler}),
            Measured("imgpipe", "12 MP photos at once", extra={"images_per_second": at_once, "in_process": rate}),
        ],
    )


def _shares(bursts: list[Burst], alone: list[Alone]) -> list[float]:
    """Of each burst, its rate by that of what was made in-process right before and right after it.

    The speed of a core is not the same a minute later.
    """
    return [
        one.rate / statistics.mean((before.rate, after.rate))
        for one, (before, after) in zip(bursts, pairwise(alone), strict=True)
    ]


def _one_by_one(latency: Latency) -> Table:
    return Table(
        "One 12 MP photo after the other, ms",
        ["", "p50", "p95"],
        [
            ["the handler's own work", *_milliseconds(latency.handler)],
            ["upload returned → READY seen", *_milliseconds(latency.visible)],
        ],
        f"{len(latency.visible)} photos, sent and waited for as `imgpipe upload` does it. The handler's work "
        "is what the row says (`timings_ms.total`): GET, decode, resize, encode, PUT.",
    )


def _at_once(queued: list[Burst], sent: Burst, alone: list[Alone], shares: list[float]) -> Table:
    rate, alone_ms = (statistics.median(getattr(one, name) for one in alone) for name in ("rate", "cpu_ms"))
    titles = [*("all in the queue before" for _ in queued), "sent meanwhile, on the same cores"]
    return Table(
        "12 MP photos at once",
        ["", "photos", "images/s", "of the in-process rate", "CPU ms an image: engine", "workers", "sender"],
        [
            ["made in-process", "", f"{rate:.1f}", "", "", f"{alone_ms:.0f}", ""],
            *(_row(*one) for one in zip(titles, [*queued, sent], shares, strict=True)),
        ],
        f"In-process: {WORKERS} processes, as many as the engine has workers, that do nothing but hash and "
        "render, before, between and after; the rate is the median, and each share is of what was done right "
        "before and right after. From the first event, or the first upload, to the last READY seen.",
    )


def _milliseconds(values: list[float]) -> list[str]:
    p95 = statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]
    return [f"{statistics.median(values):.0f}", f"{p95:.0f}"]


def _row(title: str, one: Burst, share: float) -> list[str]:
    cpu = ["—", "—"]
    if one.before and one.after:
        engine, workers = one.after.engine_ms - one.before.engine_ms, one.after.workers_ms - one.before.workers_ms
        cpu = [f"{engine / one.photos:.0f}", f"{workers / one.photos:.0f}"]
    return [title, str(one.photos), f"{one.rate:.1f}", f"{share:.2f}", *cpu, f"{one.sender_ms:.0f}"]


def _memory(last: Burst) -> list[Table]:
    if last.after is None:
        return []
    row = [f"{last.after.engine_mb:.0f}", f"{last.after.workers_mb:.0f}", str(last.after.workers)]
    return [Table("Memory after all that, resident MB", ["engine", "workers together", "workers"], [row])]
