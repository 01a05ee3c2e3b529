"""The targets that the project has set itself, and the judgement of what was measured against them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from benchmarks.harness import Ratio


@dataclass(frozen=True)
class Target:
    """One line of the table. `unit` is "" for a quotient; `at_least` says that larger is better.

    `why` is said where it is missed or not measured.
    """

    key: str
    part: str
    title: str
    limit: float
    unit: str = ""
    at_least: bool = False
    why: str = ""

    def met_by(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    @property
    def bound(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {_number(self.limit, self.unit)}"


Verdict = Literal["met", "missed", "not measured"]


@dataclass(frozen=True)
class Judged:
    """A target beside what was measured; `value` is None where nothing was."""

    target: Target
    value: float | None
    detail: str

    @property
    def verdict(self) -> Verdict:
        if self.value is None:
            return "not measured"
        return "met" if self.target.met_by(self.value) else "missed"

    @property
    def shown(self) -> str:
        """The measured value in words, with a digit more where rounding would hide that the target is missed."""
        if self.value is None:
            return "—"
        said, limit = (_number(one, self.target.unit) for one in (self.value, self.target.limit))
        return said if self.verdict == "met" or said != limit else _number(self.value, self.target.unit, more=1)


def _number(value: float, unit: str, more: int = 0) -> str:
    digits = more + (0 if unit == "MB" and value >= 20 else 1 if unit == "MB" else 2)
    return f"{value:.{digits}f} {unit}".rstrip()


_SMALL = (
    "It is worst where the picture is small: everybody decodes all of it. The table of the stages has what is left: "
    "libjpeg-turbo's work at both ends, and a Lanczos filter over a megapixel, by SIMD instructions already."
)

_BESIDES = "What sharp adds to that depends on the processor more than what imgpipe adds."

_ALL = (
    Target(
        "jpeg-24mp/sharp-expert",
        "imaging",
        "24 MP JPEG: CPU / sharp as an expert writes it",
        0.80,
        why="Both decode and hash for the most part: libjpeg-turbo and SHA-256 alone, in C, take three quarters of "
        f"what sharp takes. {_BESIDES}",
    ),
    Target(
        "jpeg-12mp/sharp-expert",
        "imaging",
        "12 MP phone JPEG: CPU / sharp as an expert writes it",
        0.75,
        why=f"libjpeg-turbo and SHA-256 alone, in C, take three fifths to two thirds of what sharp takes. {_BESIDES}",
    ),
    Target("jpeg-2mp/sharp-expert", "imaging", "2 MP JPEG: CPU / sharp as an expert writes it", 0.65, why=_SMALL),
    Target("jpeg-90kb/sharp-expert", "imaging", "90 KB JPEG: CPU / sharp as an expert writes it", 0.50, why=_SMALL),
    Target(
        "jpeg/sharp-documented",
        "imaging",
        "Any JPEG, at worst: CPU / sharp as documented",
        0.40,
        why=_SMALL,
    ),
    Target(
        "jpeg/pillow-thumbnail",
        "imaging",
        "Any JPEG, at worst: CPU / Pillow .thumbnail",
        0.30,
        why="A small picture is decoded in full by everybody; one in CMYK is converted by its profile, which takes "
        "LittleCMS as long as all the rest, and which .thumbnail leaves out. The table of the stages has the shares.",
    ),
    Target(
        "png-12mp/sharp-expert",
        "imaging",
        "12 MP PNG photo: CPU / sharp expert",
        0.95,
        why="Both unpack and hash 19 MB. Of the rest, two fifths are libspng's: a filter that needs each pixel before "
        "the next, which no wider instructions make quicker.",
    ),
    Target("webp-12mp/sharp-expert", "imaging", "12 MP lossy WebP: CPU / sharp expert", 0.95),
    Target("avif/sharp-expert", "imaging", "AVIF: CPU / sharp expert", 0.95),
    Target("png-16bit/sharp-expert", "imaging", "16-bit PNG: CPU / sharp expert", 0.95),
    Target("png-alpha/sharp-expert", "imaging", "PNG with alpha: CPU / sharp expert", 0.95),
    Target("jpeg-24mp/floor", "imaging", "24 MP JPEG: CPU / libjpeg-turbo and SHA-256 alone, in C", 1.15),
    Target("quality/sharp-expert", "imaging", "Largest loss of PSNR to sharp expert at any size", 0.1, "dB"),
    Target("memory/jpeg-24mp", "imaging", "Peak memory of a 24 MP JPEG over the idle worker", 40, "MB"),
    Target("memory/jpeg-108mp", "imaging", "Peak memory of a 108 MP JPEG over the idle worker", 60, "MB"),
    Target("memory/png-50mp", "imaging", "Peak memory of a 50 MP PNG over the idle worker", 330, "MB"),
    Target(
        "download/jpeg-12mp",
        "imaging",
        "GET and process 12 MP at 80 MB/s: wall / download alone",
        1.25,
        why="Where libjpeg-turbo alone, in C, takes longer than the photo takes to arrive, the processor bounds it; "
        "the table of the download has both.",
    ),
    Target("coldstart/naive", "coldstart", "Cold start / with boto3, all Powertools and no bytecode", 0.50),
    Target("bundle-mb", "coldstart", "Bundle, zipped", 12, "MB"),
    Target(
        "burst/in-process",
        "pipeline",
        "300 × 12 MP at once: images/s / in-process",
        0.60,
        at_least=True,
        why="The workers' eight calls to AWS, by botocore, take a fifth to a third of what the picture does, and the "
        "engine shares the cores; the table of the photos at once has all three.",
    ),
    Target("latency/handler", "pipeline", "12 MP: upload returned → READY, p50 / handler's own work", 2.0),
    Target(
        "up/localstack",
        "pipeline",
        "imgpipe up, cold / LocalStack start and the same stack",
        0.15,
        why="It takes Docker, or a LocalStack that runs at IMGPIPE_TEST_ENDPOINT.",
    ),
    Target("version/python", "cli", "imgpipe --version / bare Python start", 1.5),
    Target("help/python", "cli", "imgpipe --help / bare Python start", 8),
    Target("meta/python", "cli", "imgpipe meta KEY / bare Python start", 30),
)
TARGETS = {target.key: target for target in _ALL}
"""In the order in which they are shown."""


def judge(ratios: Iterable[Ratio], parts: Iterable[str]) -> list[Judged]:
    """Every target of `parts`, in order. Raises KeyError for a ratio that belongs to no target."""
    measured = {ratio.target: ratio for ratio in ratios}
    if unknown := set(measured) - set(TARGETS):
        raise KeyError(f"no such target: {', '.join(sorted(unknown))}")
    wanted = set(parts)
    return [
        Judged(target, measured[key].value, measured[key].detail) if key in measured else Judged(target, None, "")
        for key, target in TARGETS.items()
        if target.part in wanted
    ]
