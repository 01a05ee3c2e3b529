"""The imaging part: the same work on the same pictures by everybody, in turns; CPU, wall, memory, bytes and quality.

The work: bytes in memory → size, format and EXIF, SHA-256, upright, 1024, 512 and 128 within a box and 64 × 64 cut out
of what is large, written as JPEG of quality 82 (4:2:0, optimised tables), or WebP of quality 80 where there is alpha.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat
from pathlib import Path

from benchmarks import peers, results, tables
from benchmarks.harness import BenchError, Options, Part, Sample, quiet_core
from benchmarks.photos import LARGE, PHOTOS, WALLPAPERS, Photo, stamp
from benchmarks.results import Findings
from benchmarks.turns import turns
from benchmarks.workers import ROOT, Contender, Worker, all_contenders, peak_memory, running

JUDGED = ("ours", "sharp-expert")
JUDGED_BY_JPEG = ("sharp-documented", "pillow-thumbnail", "floor")
"""Who takes many turns, for targets speak of them; the others take one, for the table."""

FREE = ("ours", "sharp-expert", "sharp-documented", "vips", "opencv")
"""Who is timed on all cores, imgpipe beside those that use them, and on which pictures."""
FREE_PHOTOS = ("jpeg-24mp", "jpeg-12mp", "jpeg-2mp", "png-12mp", "webp-12mp")

MEMORY = ("ours", "sharp-expert", "sharp-documented", "pillow-thumbnail")
MEMORY_PHOTOS = ("jpeg-24mp", "jpeg-12mp", "png-12mp", "webp-12mp")

QUALITY = ("ours", "sharp-expert", "sharp-documented", "opencv", "pillow-thumbnail")
ALSO_QUALITY = ("png-alpha",)
"""Beside every JPEG, of which a target speaks; the other formats go the same way once they are decoded."""


def prepare(options: Options) -> None:
    """Make the pictures and install the peers, one after the other: they share an environment."""
    _pictures(options)
    all_contenders(options)


def run(options: Options) -> Part:
    """Measure everything; a peer or a picture that cannot be had is named in the result."""
    pictures, origin = _pictures(options)
    contenders, missing = all_contenders(options)
    found = Findings(missing=missing)
    photos = [photo for photo in PHOTOS if (pictures / photo.file).exists()]
    outputs = options.folder / "outputs"
    shutil.rmtree(outputs, ignore_errors=True)
    versions = _alone(options, contenders, photos, pictures, outputs, found)
    _on_all_cores(options, contenders, photos, pictures, found)
    _peaks(options, contenders, [*photos, *LARGE], pictures, found)
    try:
        _download(options, pictures, found)
        _judge_quality(options, photos, pictures, outputs, found)
    except BenchError as error:
        found.missing.append(f"{error}.")
    return Part(
        name="imaging",
        tables=tables.all_tables(contenders, photos, pictures, found),
        ratios=results.ratios(photos, found),
        charts=results.charts(contenders, photos, found),
        notes=[f"The photographs come from {origin}.", __doc__.split("\n\n")[1].replace("\n", " ").strip()],
        versions=versions,
        missing=found.missing,
        measured=results.measured(found),
    )


def _pictures(options: Options) -> tuple[Path, str]:
    """Their folder, made in a process of its own (it needs much memory, and what that peaks at is inherited)."""
    folder = options.folder / "pictures"
    if not stamp(folder).exists():
        import PIL

        python = peers.python_packages(options, "python", "numpy", f"pillow=={PIL.__version__}")
        source: list[str] = []
        try:
            peers.debian_packages(options, *WALLPAPERS)
            source = [str(options.folder / "debian")]
            peers.debian_packages(options, "libgs-common")  # a printer's profile
        except BenchError as error:
            options.progress(str(error))
        path = ":".join(str(ROOT / name) for name in ("scripts", "cli", "pipeline"))
        command = ["env", f"PYTHONPATH={path}", str(python), "-m", "benchmarks.photos", str(folder), *source]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                options.progress(f"making {line.strip()} …")
        if process.returncode:
            raise BenchError(f"The pictures cannot be made: benchmarks.photos ended with status {process.returncode}")
    return folder, stamp(folder).read_text("utf-8")


def _takes(contender: Contender, photo: Photo) -> bool:
    return not contender.jpeg_only or (photo.is_jpeg and photo.key != "jpeg-cmyk")


def _alone(
    options: Options, contenders: list[Contender], photos: list[Photo], pictures: Path, outputs: Path, found: Findings
) -> dict[str, str]:
    """CPU on one core, output bytes, and the outputs themselves; returns the versions of everything."""
    versions: dict[str, str] = {}
    with running(contenders, quiet_core(), pictures) as workers:
        for worker in workers.values():
            versions |= worker.answer(versions=True)
        for photo in photos:
            options.progress(f"{photo.title} on one core …")
            first: dict[str, Sample] = {}
            for key, worker in workers.items():
                folder = outputs / photo.key / key
                folder.mkdir(parents=True)
                if _takes(worker.contender, photo) and (sample := _turn(worker, photo, pictures, found, folder)):
                    first[key] = sample
            samples = found.pinned[photo.key] = {key: [] for key in first}
            judged = JUDGED + JUDGED_BY_JPEG if photo.is_jpeg else JUDGED
            took = {key: sample.cpu_ms for key, sample in first.items()}
            for turn, who in enumerate(turns(took, judged, 0, 1) if options.quick else turns(took, judged)):
                for key in who:
                    if sample := _turn(workers[key], photo, pictures, found):
                        samples[key].append(replace(sample, turn=turn))
            for key, taken in samples.items():
                taken.extend([] if taken else [first[key]])
            if "ours" in first:
                found.stages[photo.key] = workers["ours"].stages(photo, pictures, 1 if options.quick else 5)
    return versions


def _turn(worker: Worker, photo: Photo, pictures: Path, found: Findings, save: Path | None = None) -> Sample | None:
    """One job; who cannot do it is named."""
    try:
        sample, sizes = worker.run(photo, pictures, save)
    except BenchError as error:
        found.missing.append(f"{photo.title}: {str(error)[:160]}.")
        return None
    found.sizes.setdefault(photo.key, {})[worker.contender.key] = sizes
    return sample


def _on_all_cores(
    options: Options, contenders: list[Contender], photos: list[Photo], pictures: Path, found: Findings
) -> None:
    """Wall time with as many threads as everybody likes."""
    with running([one for one in contenders if one.key in FREE], None, pictures) as workers:
        for photo in photos:
            if photo.key not in FREE_PHOTOS:
                continue
            options.progress(f"{photo.title} on all cores …")
            samples = found.free.setdefault(photo.key, {})
            for _ in range(3):  # the median leaves a cold first turn out
                for key, worker in workers.items():
                    if sample := _turn(worker, photo, pictures, found):
                        samples.setdefault(key, []).append(sample)


def _peaks(options: Options, contenders: list[Contender], photos: list[Photo], pictures: Path, found: Findings) -> None:
    """Peak memory in fresh processes, of the largest of three runs: allocators are moody."""
    if not Path("/proc/self/clear_refs").exists():
        found.missing.append("Memory: only Linux can say what one picture took at most.")
        return
    wanted = {*(photo.key for photo in LARGE), *MEMORY_PHOTOS}
    who = [one for one in contenders if one.key in (MEMORY[:1] if options.quick else MEMORY)]

    def peak(contender: Contender, photo: Photo) -> float | None:
        times = 3 if contender.key == "ours" and not options.quick else 1
        try:
            return max(peak_memory(contender, photo, pictures) for _ in range(times))
        except BenchError as error:
            found.missing.append(f"{photo.title}, memory: {str(error)[:160]}.")
            return None

    for photo in photos:
        if photo.key in wanted and (pictures / photo.file).exists():
            options.progress(f"{photo.title}: memory …")
            with ThreadPoolExecutor(os.cpu_count()) as pool:  # nothing is timed here
                peaks = zip(who, pool.map(peak, who, repeat(photo)), strict=True)
                found.memory[photo.key] = {one.key: megabytes for one, megabytes in peaks if megabytes is not None}


def _download(options: Options, pictures: Path, found: Findings) -> None:
    options.progress("a download …")
    rounds = 3 if options.quick else 11
    photo = next(photo for photo in PHOTOS if photo.key == "jpeg-12mp")
    arguments = [str(pictures / photo.file), str(found.rate), str(rounds)]
    found.download = json.loads(_told([sys.executable, "-m", "benchmarks.contenders.download", *arguments]))


def _judge_quality(options: Options, photos: list[Photo], pictures: Path, outputs: Path, found: Findings) -> None:
    python = options.folder / "python" / "bin" / "python"
    if not python.exists():
        found.missing.append("Quality: numpy is not here.")
        return
    options.progress("quality …")

    def scores(photo: Photo) -> str:
        folders = {key: outputs / photo.key / key for key in QUALITY}
        there = {key: str(folder) for key, folder in folders.items() if folder.exists() and any(folder.iterdir())}
        job = json.dumps({"photo": str(pictures / photo.file), "outputs": there})
        return _told([str(python), "-m", "benchmarks.quality"], job)

    chosen = [photo for photo in photos if photo.is_jpeg or photo.key in ALSO_QUALITY]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # nothing is timed here
        found.quality = {
            photo.key: json.loads(told) for photo, told in zip(chosen, pool.map(scores, chosen), strict=True)
        }


def _told(command: list[str], text: str = "") -> str:
    """What a program of this package prints."""
    command = ["env", f"PYTHONPATH={ROOT / 'scripts'}", *command]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{command[-1]} failed: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return done.stdout
