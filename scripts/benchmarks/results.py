"""What the imaging part found out, and what follows from it: the ratios for the targets, the charts, plain figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.harness import Chart, Measured, Ratio, Sample, median_cpu, median_ratio, median_wall
from benchmarks.photos import LARGE, PHOTOS, Photo
from benchmarks.targets import TARGETS
from benchmarks.workers import Contender


@dataclass
class Findings:
    """Everything measured, by picture and contender; `stages` are imgpipe's, in milliseconds of CPU.

    `rate` is that of the simulated download, in MB/s.
    """

    pinned: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    free: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    sizes: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    quality: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    download: dict[str, list[float]] = field(default_factory=dict)
    rate: float = 80.0
    missing: list[str] = field(default_factory=list)


def ratios(photos: list[Photo], found: Findings) -> list[Ratio]:
    """What the targets are judged by, as far as it could be measured."""
    made = [
        *_against(photos, found, "sharp-expert", lambda _: True),
        *_against(photos, found, "floor", lambda photo: photo.key == "jpeg-24mp"),
        *_worst(photos, found, "sharp-documented"),
        *_worst(photos, found, "pillow-thumbnail"),
    ]
    made = [ratio for ratio in made if ratio.target in TARGETS]
    if loss := worst_loss(photos, found):
        value, photo, size, ours, theirs = loss
        made.append(
            Ratio("quality/sharp-expert", value, f"{photo.title} at {size}: {ours:.2f} dB against {theirs:.2f} dB")
        )
    for photo in (*PHOTOS, *LARGE):
        if f"memory/{photo.key}" in TARGETS and "ours" in found.memory.get(photo.key, {}):
            made.append(Ratio(f"memory/{photo.key}", found.memory[photo.key]["ours"], "peak less idle"))
    if found.download:
        alone, during, after = (statistics.median(found.download[way]) for way in ("alone", "during", "after"))
        detail = f"{during:.0f} ms against {alone:.0f} ms; one after the other, {after:.0f} ms"
        if floor := floor_ms(found):
            detail += f"; libjpeg-turbo and SHA-256 alone, without a network, {floor:.0f} ms"
        made.append(
            Ratio("download/jpeg-12mp", median_ratio(found.download["during"], found.download["alone"]), detail)
        )
    return made


def floor_ms(found: Findings) -> float | None:
    """CPU that the photo of the download takes in C alone, in milliseconds, where that was measured."""
    samples = found.pinned.get("jpeg-12mp", {}).get("floor")
    return median_cpu(samples) if samples else None


def cpu_ratio(found: Findings, photo: str, peer: str) -> float | None:
    """CPU of imgpipe over that of a peer, in the turns that both took."""
    samples = found.pinned.get(photo, {})
    ours, theirs = ({one.turn: one.cpu_ms for one in samples.get(key, [])} for key in ("ours", peer))
    both = sorted(ours.keys() & theirs.keys())
    return median_ratio([ours[turn] for turn in both], [theirs[turn] for turn in both]) if both else None


def _against(photos: list[Photo], found: Findings, peer: str, wanted: Callable[[Photo], bool]) -> list[Ratio]:
    made = []
    for photo in photos:
        ratio = cpu_ratio(found, photo.key, peer)
        if ratio is not None and wanted(photo):
            made.append(Ratio(f"{photo.key}/{peer}", ratio, _cpu_detail(found, photo.key, peer)))
    return made


def _cpu_detail(found: Findings, photo: str, peer: str) -> str:
    samples = found.pinned[photo]
    return f"{median_cpu(samples['ours']):.1f} ms against {median_cpu(samples[peer]):.1f} ms"


def _worst(photos: list[Photo], found: Findings, peer: str) -> list[Ratio]:
    """The JPEG that comes off worst."""
    all_jpeg = [(ratio, photo) for photo in photos if photo.is_jpeg and (ratio := cpu_ratio(found, photo.key, peer))]
    if not all_jpeg:
        return []
    ratio, photo = max(all_jpeg, key=lambda one: one[0])
    return [Ratio(f"jpeg/{peer}", ratio, f"{photo.title}: {_cpu_detail(found, photo.key, peer)}")]


def worst_loss(photos: list[Photo], found: Findings) -> tuple[float, Photo, str, float, float] | None:
    """By how many dB imgpipe is below sharp expert at most, where, and the two figures; None without any JPEG."""
    losses = []
    for photo in photos:
        scores = found.quality.get(photo.key, {})
        if not photo.is_jpeg or not {"ours", "sharp-expert"} <= set(scores):
            continue
        for size, (ours, _) in scores["ours"].items():
            if size in scores["sharp-expert"]:
                theirs = scores["sharp-expert"][size][0]
                losses.append((theirs - ours, photo, size, ours, theirs))
    return max(losses, key=lambda one: one[0], default=None)


def charts(contenders: list[Contender], photos: list[Photo], found: Findings) -> list[Chart]:
    """CPU for the everyday pictures, and memory."""
    titles = {contender.key: contender.title for contender in contenders}

    def bars(keys: tuple[str, ...]) -> list[tuple[str, dict[str, float]]]:
        made = []
        for photo in photos:
            if photo.key in keys:
                samples = found.pinned[photo.key]
                made.append((photo.title, {titles[key]: median_cpu(taken) for key, taken in samples.items() if taken}))
        return made

    made = [
        Chart("cpu-jpeg", "CPU for one JPEG", "ms", bars(("jpeg-24mp", "jpeg-12mp", "jpeg-2mp"))),
        Chart("cpu-other", "CPU for one picture of other formats", "ms", bars(("png-12mp", "webp-12mp", "avif"))),
    ]
    if found.memory:
        shown = [
            (photo.title, {titles[key]: value for key, value in found.memory[photo.key].items()})
            for photo in (*PHOTOS, *LARGE)
            if photo.key in found.memory
        ]
        made.append(Chart("memory", "Peak memory for one picture", "MB", shown))
    return made


def measured(found: Findings) -> list[Measured]:
    made = []
    for photo, contenders in found.pinned.items():
        for key, samples in contenders.items():
            free = found.free.get(photo, {}).get(key)
            scores = found.quality.get(photo, {}).get(key, {})
            extra = {f"bytes/{size}": float(length) for size, length in found.sizes[photo][key].items()}
            extra |= {f"psnr/{size}": score[0] for size, score in scores.items()}
            extra |= {f"ssim/{size}": score[1] for size, score in scores.items()}
            if key == "ours":
                extra |= {f"cpu_ms/{stage}": spent for stage, spent in found.stages.get(photo, {}).items()}
            made.append(
                Measured(
                    key,
                    photo,
                    median_cpu(samples) if samples else None,
                    median_wall(free) if free else None,
                    found.memory.get(photo, {}).get(key),
                    extra,
                )
            )
    return made
