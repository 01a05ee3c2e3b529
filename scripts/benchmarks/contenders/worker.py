"""The loop of a Python contender: one JSON line in, one JSON line out.

A job is {"path", "form"} and optionally "save" (a folder for the outputs), "memory" (true: report the peak instead) or
"stages" (true: report the CPU of each stage instead, where the contender can tell).
The bytes lie in memory before the clock starts. The answer holds cpu_ms (user and system time of all threads and
children), wall_ms, and the size of each output in bytes; or memory_mb; or stages, in ms; or error. {"versions": true}
is answered with the versions of what does the work.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BOXES = {"1024": 1024, "512": 512, "128": 128}
COVER = 64
"""The square that is made of pictures whose long side has 1024 pixels or more."""

JPEG_QUALITY = 82
WEBP_QUALITY, WEBP_METHOD = 80, 2

Outputs = dict[str, bytes]
Work = Callable[[bytes, str], Outputs]


def serve(
    work: Work,
    versions: Callable[[], dict[str, str]],
    *,
    prepare: Callable[[bytes], None] | None = None,
    work_on_file: Callable[[str, str], object] | None = None,
    stages: Callable[[bytes, str], dict[str, float]] | None = None,
) -> None:
    """Answer jobs on stdin until it ends. `work` makes the outputs of a picture in the form "jpeg" or "webp".

    `prepare` sees the bytes of each file once, before any job with them and off the clock. `work_on_file` (path, form)
    is how the contender would go about a file that need not be in memory; memory is measured with it. `stages` does the
    work once more, and says how many milliseconds of CPU each stage took.
    """
    loaded: dict[str, bytes] = {}
    for line in sys.stdin:
        job = json.loads(line)
        try:
            if "versions" in job:
                answer: dict[str, Any] = versions()
            elif job.get("memory"):
                answer = _peak(job, work_on_file or (lambda path, form: work(Path(path).read_bytes(), form)))
            else:
                if job["path"] not in loaded:
                    loaded = {job["path"]: Path(job["path"]).read_bytes()}
                    if prepare:
                        prepare(loaded[job["path"]])
                if stages and job.get("stages"):
                    answer = {"stages": stages(loaded[job["path"]], job["form"])}
                else:
                    answer = _measured(loaded[job["path"]], job, work)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _measured(data: bytes, job: dict[str, Any], work: Work) -> dict[str, Any]:
    cpu, wall = _cpu_seconds(), time.perf_counter()
    outputs = work(data, job["form"])
    answer = {
        "cpu_ms": 1000 * (_cpu_seconds() - cpu),
        "wall_ms": 1000 * (time.perf_counter() - wall),
        "bytes": {name: len(made) for name, made in outputs.items()},
    }
    if job.get("save"):
        for name, made in outputs.items():
            Path(job["save"], f"{name}.{job['form']}").write_bytes(made)
    return answer


def _peak(job: dict[str, Any], work_on_file: Callable[[str, str], object]) -> dict[str, Any]:
    """Megabytes over what this process had before: the file as far as it is held, and all that is made of it."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    idle = _status("VmRSS")
    work_on_file(job["path"], job["form"])
    return {"memory_mb": (_status("VmHWM") - idle) / 1e6}


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
