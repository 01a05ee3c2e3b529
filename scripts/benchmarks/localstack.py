"""The same stack on LocalStack: on one that runs (IMGPIPE_TEST_ENDPOINT), or on one that Docker starts."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time

from benchmarks.harness import BenchError, Options, Ratio
from imgpipe.errors import ImgpipeError
from imgpipe.targets.localstack import answers

STAGE = "bench"
TARGET = "up/localstack"
_NOT_COUNTED = ", its start not counted"


def against_localstack(up_seconds: float, options: Options) -> tuple[list[Ratio], list[str]]:
    """The ratio that is judged, and what could not be measured with its reason.

    Where LocalStack runs already its start cannot be timed: IMGPIPE_LOCALSTACK_START_SECONDS says what it took, and
    without that the stack alone counts, which can only make our part look larger.
    """
    try:
        if endpoint := os.environ.get("IMGPIPE_TEST_ENDPOINT"):
            options.progress("pipeline: the same stack on the LocalStack that runs")
            start = float(os.environ.get("IMGPIPE_LOCALSTACK_START_SECONDS") or 0)
            stack = _stack("--endpoint-url", endpoint)
            theirs = start + stack
            how = f"{start:.0f} s start + {stack:.1f} s stack" if start else f"{stack:.1f} s{_NOT_COUNTED}"
        elif _docker():
            options.progress("pipeline: LocalStack's start and the same stack")
            running = _runs()
            theirs = _stack(stop=not running)
            how = f"{theirs:.1f} s{_NOT_COUNTED if running else ''}"
        else:
            return [], ["LocalStack: neither Docker answers nor does IMGPIPE_TEST_ENDPOINT name one that runs."]
    except BenchError as error:
        return [], [f"LocalStack: {error}"]
    return [Ratio(TARGET, up_seconds / theirs, f"{up_seconds:.2f} s against {how}")], []


def _docker() -> bool:
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


def _runs() -> bool:
    """Whether a LocalStack runs already where `up` looks for it; it is somebody's, and is used and left."""
    try:
        return answers("127.0.0.1", 4566)
    except ImgpipeError:
        return False


def _stack(*options: str, stop: bool = False) -> float:
    """Seconds of `imgpipe -t localstack up` where nothing was, without the test image; it is taken down again.

    With `stop`, LocalStack as well.
    """
    with tempfile.TemporaryDirectory(prefix="imgpipe-bench-") as folder:
        imgpipe = [sys.executable, "-m", "imgpipe", "-t", "localstack", *options, "--stage", STAGE]
        env = {name: value for name, value in os.environ.items() if name not in ("IMGPIPE_TARGET", "IMGPIPE_STAGE")}
        env["IMGPIPE_HOME"] = folder

        def run(*arguments: str) -> float:
            started = time.perf_counter()
            done = subprocess.run(
                [*imgpipe, *arguments], env=env, cwd=folder, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise BenchError(f"imgpipe {' '.join(arguments)} failed: {done.stderr.strip()[-300:]}")
            return time.perf_counter() - started

        try:
            return run("up", "--no-canary")
        finally:
            # Where `up` failed, its reason counts.
            with contextlib.suppress(BenchError):
                run("down", "--yes", *(["--stop"] if stop else []))
