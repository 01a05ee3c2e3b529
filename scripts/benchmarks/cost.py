"""The bill: dollars for a million images, from the CPU time of the real handler, by memory size and processor.

Run as a program by `run`, with an engine's endpoint and pictures, it is the function: it handles one event after the
other and prints the CPU time of each. Without the SIMD resizer it stands for arm64, for which that has no wheel.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.harness import BenchError, Chart, Measured, Options, Part, Table, pinned, quiet_core
from benchmarks.photos import PHOTOS
from benchmarks.workers import all_contenders, running
from imgpipe import prices
from imgpipe.cost import Bill, Work, bill, share
from imgpipe.rowsize import Row

MEMORIES = (512, 1024, 1769, 3008)
DEFAULT = 1769
ARCHITECTURES = ("x86_64", "arm64")
PICTURES = {"24 MP JPEG": ("24mp.jpg", 24.0), "12 MP JPEG": ("12mp-phone.jpg", 12.0), "2 MP JPEG": ("2mp.jpg", 2.0)}
"""What is measured, by the file of the imaging part, or a made-up photo of so many megapixels where there is none."""

WAITING_MS = 100.0
"""For AWS, an image: GetItem 5, the first byte of GetObject 30, PUTs side by side 45, PutItem 8, HeadObject 12. Usual
medians within a region, not measured here; they do not depend on the memory size."""

BYTES_PER_MS = 80_000
"""80 MB/s from S3 to the function."""

PEERS = ("ours", "sharp-expert", "sharp-documented", "pillow-thumbnail")
"""Contenders of the imaging part."""


@dataclass(frozen=True)
class Image:
    """What one picture takes: CPU of the whole handler, in milliseconds by processor, and the files' sizes in bytes."""

    title: str
    cpu_ms: dict[str, float]
    bytes_in: int
    bytes_out: int


def run(options: Options) -> Part:
    """Send pictures through the handler in a process of its own, in turns with and without the SIMD resizer."""
    with tempfile.TemporaryDirectory(prefix="imgpipe-bench-") as home:
        images = _measured(Path(home), options)
    listed = prices.load()
    tables, missing = [_by_memory(images, listed), _whole(images[1], listed)], []
    try:
        tables.insert(1, _against_peers(images, listed, options))
    except BenchError as error:
        missing.append(str(error))
    bars = [(one.title, _by_service(_bill(one, DEFAULT, "x86_64", listed))) for one in images]
    return Part(
        name="cost",
        tables=tables,
        charts=[Chart("cost", f"A million images at {DEFAULT} MB of x86_64", "US dollars", bars)],
        notes=[
            f"List prices of {listed.region} as of {listed.date}, before free tiers. `imgpipe cost` reckons with the "
            "times of your own pipeline, `imgpipe cost --prices FILE` with other prices.",
            f"Billed time = {WAITING_MS:.0f} ms of waiting for S3 and DynamoDB, which is assumed, + the download at "
            f"{BYTES_PER_MS // 1000} MB/s + the CPU time measured here ÷ the share of a core that the memory buys "
            "(1769 MB: one). That decoding begins during the download is left out.",
            "For arm64 there is no wheel of the SIMD resizer: its time is that of Pillow's own resize on x86_64.",
        ],
        missing=missing,
        measured=[
            Measured(f"handler, {architecture}", one.title, cpu_ms=one.cpu_ms[architecture])
            for one in images
            for architecture in ARCHITECTURES
        ],
    )


# ---------------------------------------------------------------- what it costs


def _work(milliseconds: float, image: Image, memory: int, architecture: str) -> Work:
    outputs = 4
    return Work(
        ready=1e6,
        settled=1e6,
        invocations=1e6,
        milliseconds=milliseconds * 1e6,
        cold_starts=0,
        bytes_in=image.bytes_in * 1e6,
        bytes_out=image.bytes_out * 1e6,
        outputs=outputs,
        row=Row.typical(outputs),
        memory=memory,
        architecture=architecture,
    )


def billed_ms(cpu_ms: float, bytes_in: float, memory: int) -> float:
    """What Lambda bills for an image, by the model that the page describes."""
    return WAITING_MS + bytes_in / BYTES_PER_MS + cpu_ms / share(memory)


def _bill(image: Image, memory: int, architecture: str, listed: prices.Prices) -> Bill:
    milliseconds = billed_ms(image.cpu_ms[architecture], image.bytes_in, memory)
    return bill(_work(milliseconds, image, memory, architecture), listed)


def _lambda(found: Bill) -> float:
    return found.work["lambda_duration"] + found.work["lambda_requests"]


def _by_service(found: Bill) -> dict[str, float]:
    """Dollars by service."""
    by_service: dict[str, float] = {}
    for name, dollars in found.work.items():
        service = {"lambda": "Lambda", "s3": "S3", "sqs": "SQS", "dynamodb": "DynamoDB"}.get(name.split("_")[0], "logs")
        by_service[service] = by_service.get(service, 0.0) + dollars
    return by_service


def _by_memory(images: list[Image], listed: prices.Prices) -> Table:
    rows = [
        [f"{one.title}, {architecture}", f"{one.cpu_ms[architecture]:.0f}"]
        + [f"{_lambda(_bill(one, memory, architecture, listed)):.2f}" for memory in MEMORIES]
        for one in images
        for architecture in ARCHITECTURES
    ]
    return Table(
        "Lambda, US dollars for a million images",
        ["", "CPU ms", *(f"{memory} MB" for memory in MEMORIES)],
        rows,
        "The template takes 1024 MB and more. One thread does the work, so that more than 1769 MB buys nothing; less "
        "saves what is spent on waiting, and makes each image slower.",
    )


def _whole(image: Image, listed: prices.Prices) -> Table:
    found = _bill(image, DEFAULT, "x86_64", listed)
    storage = {"kept for a month: " + name: dollars for name, dollars in found.storage.items()}
    parts = {name.replace("_", " "): dollars for name, dollars in found.work.items()}
    rows = {**parts, "together": found.total, **storage}
    return Table(
        f"The whole bill of a million images ({image.title}, {DEFAULT} MB of x86_64)",
        ["", "US dollars"],
        [[name, f"{dollars:.2f}"] for name, dollars in rows.items()],
        "Cold starts are left out; `imgpipe cost` counts yours.",
    )


def _against_peers(images: list[Image], listed: prices.Prices, options: Options) -> Table:
    """Lambda's share if the picture were made by somebody else, in the same handler. Raises BenchError where the
    imaging part has not fetched the peers, which would take longer than everything here."""
    pictures = options.folder / "pictures"
    photos = [photo for photo in PHOTOS if photo.file in (name for name, _ in PICTURES.values())]
    if not (options.folder / "node").is_dir() or not all((pictures / photo.file).is_file() for photo in photos):
        raise BenchError("The bill with a peer's CPU needs what the imaging part installs: ./scripts/bench imaging")
    options.progress("cost: the peers' CPU")
    contenders = [one for one in all_contenders(options)[0] if one.key in PEERS]
    cpu: dict[tuple[str, str], list[float]] = {}
    with running(contenders, quiet_core(), pictures) as workers:
        for _ in range(3 if options.quick else 5):
            for photo in photos:
                for key, worker in workers.items():
                    cpu.setdefault((key, photo.file), []).append(worker.run(photo, pictures)[0].cpu_ms)
    rows = []
    for contender in contenders:
        row = [contender.title]
        for image in images:
            file = PICTURES[image.title][0]
            theirs, ours = (statistics.median(cpu[key, file]) for key in (contender.key, "ours"))
            whole = replace(image, cpu_ms={"x86_64": image.cpu_ms["x86_64"] - ours + theirs})
            row.append(f"{_lambda(_bill(whole, DEFAULT, 'x86_64', listed)):.2f}")
        rows.append(row)
    return Table(
        f"Lambda with somebody else's pictures, US dollars for a million images ({DEFAULT} MB of x86_64)",
        ["", *(one.title for one in images)],
        rows,
        "The same handler, waiting and download; only the CPU of making the pictures is the contender's.",
    )


# ---------------------------------------------------------------- what it takes


def _measured(home: Path, options: Options) -> list[Image]:
    from imgpipe.aws import Clients
    from imgpipe.targets.local import LocalTarget

    files = {title: _picture(options.folder, *what) for title, what in PICTURES.items()}
    cpu: dict[tuple[str, str], list[float]] = {(title, one): [] for title in files for one in ARCHITECTURES}
    sizes: dict[str, int] = {}
    target = LocalTarget("bench", home, None, "us-east-1")
    try:
        clients = Clients(target.start(lambda _: None))
        environment = _stack(clients)
        for number in range(2 if options.quick else 3):
            for architecture in ARCHITECTURES:
                options.progress(f"cost: {architecture}, round {number + 1}")
                titles = [*files] * 3
                keys = [f"2026/{architecture}/{number}-{place}.jpg" for place in range(len(titles))]
                for key, title in zip(keys, titles, strict=True):
                    clients["s3"].put_object(Bucket=environment["IMGPIPE_INPUT_BUCKET"], Key=key, Body=files[title])
                taken = _handled(environment, architecture, keys)
                for (cpu_ms, bytes_out), title in list(zip(taken, titles, strict=True))[len(files) :]:  # warm by now
                    cpu[title, architecture].append(cpu_ms)
                    sizes[title] = bytes_out
    finally:
        target.destroy()
    return [
        Image(title, {one: statistics.median(cpu[title, one]) for one in ARCHITECTURES}, len(data), sizes[title])
        for title, data in files.items()
    ]


def _picture(folder: Path, name: str, megapixels: float) -> bytes:
    found = folder / "pictures" / name
    if found.is_file():
        return found.read_bytes()
    from imgpipe.sample import sample_photo

    return sample_photo(megapixels, quality=92)


def _stack(clients: Any) -> dict[str, str]:
    """Buckets and a table, without what would work on them by itself; the environment of a function on them."""
    name = "bench"
    buckets = {kind: f"{name}-{kind}" for kind in ("input", "resized", "thumbnails")}
    for bucket in buckets.values():
        clients["s3"].create_bucket(Bucket=bucket)
    clients["dynamodb"].create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "image_key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "image_key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return {
        **{"IMGPIPE_STACK": name, "IMGPIPE_TABLE": name, "IMGPIPE_ACCOUNT": "000000000000"},
        **{f"IMGPIPE_{kind.upper()}_BUCKET": bucket for kind, bucket in buckets.items()},
        **{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"},
        **{"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": clients.connection.endpoint_url},
        **{"PATH": os.defpath, "PYTHONPATH": str(Path(__file__).parent.parent)},
    }


def _handled(environment: dict[str, str], architecture: str, keys: list[str]) -> list[tuple[float, int]]:
    """CPU milliseconds and output bytes of each key, handled by one function."""
    command = [sys.executable, "-m", "benchmarks.cost", architecture, *keys]
    with pinned(quiet_core()):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    cpu = [one["cpu_ms"] for one in lines if "cpu_ms" in one]
    sizes = [int(one["BytesOut"][0]) for one in lines if "BytesOut" in one]
    if done.returncode or not len(cpu) == len(sizes) == len(keys):
        raise BenchError(f"The handler did not handle everything: {(done.stderr or done.stdout)[-500:]}")
    return list(zip(cpu, sizes, strict=True))


def _be_the_function(architecture: str, keys: list[str]) -> None:
    """Handle a notification for each key, and print a line with the CPU time of each between those of the log."""
    if architecture == "arm64":
        sys.modules["cykooz_resizer"] = None  # type: ignore[assignment]  # as where it is not installed
    from image_pipeline.handler import handler, settings

    for number, key in enumerate(keys):
        s3 = {"bucket": {"name": settings.input_bucket}, "object": {"key": key}}
        event = {"Records": [{"eventName": "ObjectCreated:Put", "s3": s3}]}
        started = time.process_time()
        handler(event, SimpleNamespace(aws_request_id=f"request-{number}", get_remaining_time_in_millis=lambda: 60_000))
        taken = 1000 * (time.process_time() - started)
        sys.stdout.write(json.dumps({"cpu_ms": taken}) + "\n")


if __name__ == "__main__":
    _be_the_function(sys.argv[1], sys.argv[2:])
