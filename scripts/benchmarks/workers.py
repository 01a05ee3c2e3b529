"""The contenders of the imaging part as processes: started warm, told what to do line by line, ended by all means."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.harness import BenchError, Options, Sample, pinned
from benchmarks.photos import TINY, Photo

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Contender:
    """How to start one. `threads` stands in its command where it takes the number of threads to use."""

    key: str
    title: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    jpeg_only: bool = False


class Worker:
    """One running contender. `answer` fails with BenchError where it could not do the job."""

    def __init__(self, contender: Contender, cpu: int | None) -> None:
        self.contender = contender
        threads = "1" if cpu is not None else str(os.cpu_count() or 1)
        command = [threads if word == "THREADS" else word for word in contender.command]
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in close()
        with pinned(cpu):
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": str(ROOT / "scripts"), "VIPS_CONCURRENCY": threads}
                | contender.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                text=True,
            )

    def answer(self, **job: Any) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise BenchError(f"{self.contender.title} has no pipes")
        try:
            stdin.write(json.dumps(job) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            status = self._process.wait(10)
            self._complaints.seek(0)
            words = self._complaints.read().strip().splitlines() or ["it said nothing"]
            raise BenchError(f"{self.contender.title} ended with status {status}: {words[-1]}")
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise BenchError(f"{self.contender.title}: {told['error']}")
        return told

    def run(self, photo: Photo, pictures: Path, save: Path | None = None) -> tuple[Sample, dict[str, int]]:
        """One turn, and the bytes of each output; with `save`, they are written into that folder."""
        folder = str(save) if save else None
        told = self.answer(path=str(pictures / photo.file), form=photo.output, save=folder)
        return Sample(told["cpu_ms"], told["wall_ms"]), told.get("bytes", {})

    def stages(self, photo: Photo, pictures: Path, times: int) -> dict[str, float]:
        """Milliseconds of CPU by stage, each the median of so many turns."""
        job = {"path": str(pictures / photo.file), "form": photo.output, "stages": True}
        turns = [self.answer(**job)["stages"] for _ in range(times)]
        return {stage: statistics.median(turn[stage] for turn in turns) for stage in turns[0]}

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._complaints.close()


@contextlib.contextmanager
def running(contenders: list[Contender], cpu: int | None, pictures: Path) -> Iterator[dict[str, Worker]]:
    """A warm worker for each, on one core or free."""
    workers: dict[str, Worker] = {}
    try:
        for contender in contenders:
            workers[contender.key] = worker = Worker(contender, cpu)
            worker.answer(path=str(pictures / TINY.file), form=TINY.output)
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


def peak_memory(contender: Contender, photo: Photo, pictures: Path) -> float:
    """Megabytes that one picture takes in a fresh worker, over what it had after a tiny one; the file is counted."""
    with running([contender], None, pictures) as workers:
        told = workers[contender.key].answer(path=str(pictures / photo.file), form=photo.output, memory=True)
    return float(told["memory_mb"])


def all_contenders(options: Options) -> tuple[list[Contender], list[str]]:
    """Everybody who can be had, imgpipe first; and who cannot, with the reason."""
    found = [Contender("ours", "imgpipe", _module(sys.executable, "ours"))]
    missing: list[str] = []

    def join(title: str, *made: Any) -> None:
        for make in made:
            try:
                found.append(make())
            except BenchError as error:
                missing.append(f"{title} is not here: {error}.")
                return

    join("sharp", lambda: _sharp(options, "expert"), lambda: _sharp(options, "documented"))
    join("libvips", lambda: _python_peer(options, "vips", "libvips, expert", "pyvips[binary]"))
    join("OpenCV", lambda: _python_peer(options, "opencv", "OpenCV, quickest", "opencv-python-headless"))
    join("ImageMagick", lambda: _magick(options))
    found.append(Contender("pillow-thumbnail", "Pillow .thumbnail", _module(sys.executable, "pillow", "thumbnail")))
    found.append(Contender("pillow-resize", "Pillow .resize", _module(sys.executable, "pillow", "resize")))
    join("The C floor", lambda: _floor(options))
    return found, missing


def _module(python: str | Path, name: str, *arguments: str) -> tuple[str, ...]:
    return (str(python), "-m", f"benchmarks.contenders.{name}", *arguments)


def _sharp(options: Options, style: str) -> Contender:
    home = peers.node_packages(options, "sharp")
    title = "sharp, expert" if style == "expert" else "sharp, documented"
    return Contender(
        f"sharp-{style}", title, ("node", str(HERE / "contenders" / "sharp.mjs"), str(home), style, "THREADS")
    )


def _python_peer(options: Options, key: str, title: str, *requirements: str) -> Contender:
    python = peers.python_packages(options, "python", "numpy", *requirements)
    return Contender(key, title, _module(python, key))


def _magick(options: Options) -> Contender:
    for name in ("magick", "convert"):
        program = shutil.which(name)
        if program and _is_magick(program):
            return Contender("magick", "ImageMagick, best", _module(sys.executable, "magick", program))
    folder = peers.debian_packages(options, "imagemagick-6.q16", dependencies=True)
    program = str(folder / "usr" / "bin" / "convert-im6.q16")
    return Contender("magick", "ImageMagick, best", _module(sys.executable, "magick", program, str(folder)))


def _is_magick(program: str) -> bool:
    """Other programs are called convert as well."""
    done = subprocess.run([program, "-version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.stdout.startswith("Version: ImageMagick")


def _floor(options: Options) -> Contender:
    """Compiles floor.c against the very libjpeg-turbo that imgpipe's Pillow has loaded."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if not compiler:
        raise BenchError("there is no C compiler")
    libraries = Path(sysconfig.get_paths()["platlib"]) / "pillow.libs"
    jpeg = next(libraries.glob("libjpeg-*.so*"), None)
    if not jpeg:
        raise BenchError("this Pillow does not bring its own libjpeg-turbo")
    headers: list[str] = []
    if not Path("/usr/include/jpeglib.h").exists():
        folder = peers.debian_packages(options, "libjpeg62-turbo-dev")
        headers = [f"-I{path}" for path in {*(folder / "usr" / "include").rglob("j*.h")} for path in [path.parent]]
    made = options.folder / "floor.so"
    source = HERE / "contenders" / "floor.c"
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        command = [compiler, "-O3", "-shared", "-fPIC", *sorted(set(headers)), str(source), str(jpeg)]
        done = subprocess.run([*command, f"-Wl,-rpath,{libraries}", "-o", str(made)], capture_output=True, text=True)
        if done.returncode:
            raise BenchError(f"floor.c cannot be compiled: {done.stderr.strip().splitlines()[-1]}")
    started = _module(sys.executable, "floor", str(made))
    return Contender("floor", "libjpeg-turbo + SHA-256 in C", started, jpeg_only=True)
