"""The machine that this runs on, as far as it tells a reader why another one has other figures."""

from __future__ import annotations

import hashlib
import os
import platform
import statistics
import time
from pathlib import Path


def machine() -> dict[str, str]:
    """Where this runs: processor, cores, system, Python; and how fast SHA-256 is, in which processors differ most."""
    flags = (_value("/proc/cpuinfo", "flags", ":") or _value("/proc/cpuinfo", "Features", ":")).split()
    return {
        "processor": _value("/proc/cpuinfo", "model name", ":") or platform.processor() or platform.machine(),
        "instructions for SHA-256": next((flag for flag in ("sha_ni", "sha2") if flag in flags), "none named"),
        "widest vectors": next((flag for flag in ("avx512f", "avx2", "asimd") if flag in flags), "none named"),
        "hashlib.sha256": f"{sha256_rate():.0f} MB/s",
        "cores": str(os.cpu_count()),
        "architecture": platform.machine(),
        "system": _value("/etc/os-release", "PRETTY_NAME", "=") or platform.platform(terse=True),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }


def sha256_rate() -> float:
    """MB/s of CPU time, the median of nine pieces: a machine that slows down for a while does not bend it."""
    data, rates = bytes(8_000_000), []
    for _ in range(9):
        before = time.process_time()
        hashlib.sha256(data).digest()
        rates.append(len(data) / 1e6 / (time.process_time() - before))
    return statistics.median(rates)


def _value(file: str, name: str, separator: str) -> str:
    """What stands behind the first `name` in a file of lines, or "" """
    path = Path(file)
    for line in path.read_text("utf-8", "replace").splitlines() if path.exists() else ():
        left, _, right = line.partition(separator)
        if left.strip() == name:
            return right.strip().strip('"')
    return ""
