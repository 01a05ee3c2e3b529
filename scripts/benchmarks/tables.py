"""The tables of the imaging part, the one that a user asks for first."""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks.harness import Table, median_cpu, median_wall
from benchmarks.photos import LARGE, Photo
from benchmarks.results import Findings, cpu_ratio, floor_ms
from benchmarks.workers import Contender

NOTHING = "—"
SIZES = ("1024", "512", "128", "64")


def all_tables(contenders: list[Contender], photos: list[Photo], pictures: Path, found: Findings) -> list[Table]:
    """In the order in which they are read."""
    made = [
        times_less(contenders, photos, found),
        cpu_table(contenders, photos, found),
        ratio_table(contenders, photos, found),
        stages_table(photos, found),
        _wall_table(contenders, photos, found),
        _memory_table(contenders, photos, found),
        download_table(found),
        _bytes_table(contenders, photos, pictures, found),
        _quality_table(contenders, photos, found),
    ]
    return [table for table in made if table.rows]


def times_less(contenders: list[Contender], photos: list[Photo], found: Findings) -> Table:
    """How many times the CPU of imgpipe each peer takes for the picture that most people have most of."""
    photo = next((photo for photo in photos if photo.key == "jpeg-12mp"), None)
    rows = []
    for contender in contenders:
        if not photo or contender.key == "floor" or not found.pinned[photo.key].get(contender.key):
            continue
        cpu = median_cpu(found.pinned[photo.key][contender.key])
        times = "1" if contender.key == "ours" else f"{1 / (cpu_ratio(found, photo.key, contender.key) or 1):.1f}"
        rows.append([contender.title, f"{cpu:.1f}", f"{times} ×", f"{1e6 * cpu / 3.6e6:.1f}"])
    return Table(
        "A 12 MP phone photo, four sizes",
        ["", "CPU ms", "of imgpipe's", "CPU hours a million photos"],
        rows,
        "On one core, the same work for all.",
    )


def cpu_table(contenders: list[Contender], photos: list[Photo], found: Findings) -> Table:
    rows = [
        [photo.title]
        + [
            f"{median_cpu(samples):.1f}" if (samples := found.pinned[photo.key].get(one.key)) else NOTHING
            for one in contenders
        ]
        for photo in photos
    ]
    return Table("CPU of one picture on one core, ms", ["", *(one.title for one in contenders)], rows)


def ratio_table(contenders: list[Contender], photos: list[Photo], found: Findings) -> Table:
    others = [one for one in contenders if one.key != "ours"]
    rows = []
    for photo in photos:
        found_ratios = (cpu_ratio(found, photo.key, one.key) for one in others)
        rows.append([photo.title, *(f"{value:.2f}" if value is not None else NOTHING for value in found_ratios)])
    note = "Below 1, imgpipe takes less. Medians of the quotients turn by turn."
    return Table("CPU of imgpipe / CPU of the peer", ["", *(one.title for one in others)], rows, note)


def stages_table(photos: list[Photo], found: Findings) -> Table:
    """The profile: what there would be to save."""
    shown = [photo for photo in photos if found.stages.get(photo.key)]
    names = list(found.stages[shown[0].key]) if shown else []
    rows = []
    for photo in shown:
        spent = found.stages[photo.key]
        together = sum(spent.values()) or 1
        rows.append([photo.title, *(f"{spent[name]:.1f} ({100 * spent[name] / together:.0f} %)" for name in names)])
    note = "By the clock of each thread, in turns of their own."
    return Table("Where imgpipe's CPU goes, ms", ["", *names], rows, note)


def _wall_table(contenders: list[Contender], photos: list[Photo], found: Findings) -> Table:
    who = [one for one in contenders if any(one.key in taken for taken in found.free.values())]
    rows = [
        [photo.title]
        + [f"{median_wall(samples):.1f}" if (samples := found.free[photo.key].get(one.key)) else NOTHING for one in who]
        for photo in photos
        if photo.key in found.free
    ]
    note = "Everybody may use every core; imgpipe uses one."
    return Table("Elapsed time of one picture, ms", ["", *(one.title for one in who)], rows, note)


def _memory_table(contenders: list[Contender], photos: list[Photo], found: Findings) -> Table:
    who = [one for one in contenders if any(one.key in taken for taken in found.memory.values())]
    rows = [
        [photo.title, *(f"{found.memory[photo.key][one.key]:.0f}" if one.key in found.memory[photo.key] else NOTHING
                        for one in who)]
        for photo in (*photos, *LARGE)
        if photo.key in found.memory
    ]  # fmt: skip
    note = (
        "The peak of a fresh process less what it had after a tiny picture; as much of the file as is held is counted."
    )
    return Table("Peak memory of one picture, MB", ["", *(one.title for one in who)], rows, note)


def download_table(found: Findings) -> Table:
    names = {"alone": "The download alone", "during": "Decoded as it arrives", "after": "Downloaded, then decoded"}
    rows = []
    if found.download:
        alone = statistics.median(found.download["alone"])
        for way, name in names.items():
            took = statistics.median(found.download[way])
            rows.append([name, f"{took:.1f}", f"{took / alone:.2f}"])
        if floor := floor_ms(found):
            rows.append(["libjpeg-turbo + SHA-256 in C, CPU, no network", f"{floor:.1f}", f"{floor / alone:.2f}"])
    return Table(f"A 12 MP photo that arrives at {found.rate:.0f} MB/s", ["", "ms", "/ download alone"], rows)


def _bytes_table(contenders: list[Contender], photos: list[Photo], pictures: Path, found: Findings) -> Table:
    who = [one for one in contenders if one.key != "floor"]
    rows = []
    for photo in photos:
        sizes = found.sizes.get(photo.key, {})
        sums = (f"{sum(sizes[one.key].values()) / 1000:.0f}" if one.key in sizes else NOTHING for one in who)
        rows.append([photo.title, f"{(pictures / photo.file).stat().st_size / 1000:.0f}", *sums])
    return Table("Bytes of the file and of all its outputs, KB", ["", "file", *(one.title for one in who)], rows)


def _quality_table(contenders: list[Contender], photos: list[Photo], found: Findings) -> Table:
    who = [one for one in contenders if any(one.key in scores for scores in found.quality.values())]
    rows = []
    for photo in photos:
        scores = found.quality.get(photo.key, {})
        for size in SIZES:
            if any(size in scores.get(one.key, {}) for one in who):
                cells = (scores.get(one.key, {}).get(size) for one in who)
                rows.append(
                    [
                        f"{photo.title}, {size}",
                        *(f"{cell[0]:.2f} / {cell[1]:.4f}" if cell else NOTHING for cell in cells),
                    ]
                )
    note = "Against a Lanczos of the full decode, compared in sRGB; higher is better."
    return Table("Quality: PSNR in dB / SSIM", ["", *(one.title for one in who)], rows, note)
