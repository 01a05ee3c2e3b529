"""Installs what imgpipe is measured against into the throw-away directory, once, each with the client of its registry.

Nothing of it reaches the project's environment or the system. What cannot be had raises BenchError with the reason.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.harness import BenchError, Options


def python_packages(options: Options, place: str, *requirements: str) -> Path:
    """The Python of a virtual environment of the name `place`, with at least `requirements` in it.

    It has no pip, and nothing is compiled: both take longer than the rest, and what is imported gets compiled then.
    """
    home = options.folder / place
    python = home / "bin" / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", "--without-pip", str(home)], f"the virtual environment {place}")
    stamps = {requirement: home / f".has-{_short(requirement)}" for requirement in requirements}
    if wanted := [requirement for requirement, stamp in stamps.items() if not stamp.exists()]:
        options.progress(f"installing {', '.join(wanted)} …")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
        _run([*pip, "install", "--quiet", "--no-compile", *wanted], ", ".join(wanted))
        for requirement in wanted:
            stamps[requirement].touch()
    return python


def node_packages(options: Options, *packages: str) -> Path:
    """The folder whose node_modules holds `packages`."""
    if not (npm := shutil.which("npm")) or not shutil.which("node"):
        raise BenchError("Node.js and npm are not installed")
    home = options.folder / "node"
    home.mkdir(exist_ok=True)
    for package in packages:
        if not (home / "node_modules" / package).is_dir():
            options.progress(f"installing {package} …")
            _run([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(home), package], package)
    return home


def debian_packages(options: Options, *packages: str, dependencies: bool = False) -> Path:
    """A folder with the files of Debian packages, as they would lie below /; nothing is installed.

    With `dependencies`, those come along that the system has not got. The package lists are the folder's own.
    """
    home = options.folder / "debian" / _short(" ".join(packages))
    if (home / ".complete").exists():
        return home
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise BenchError("this is no Debian: apt-get and dpkg-deb are missing")
    options.progress(f"downloading {', '.join(packages)} …")
    apt = _apt(options.folder / "debian")
    downloads = home / "packages"
    downloads.mkdir(parents=True, exist_ok=True)
    wanted = _with_dependencies(apt, packages) if dependencies else list(packages)
    _run([*apt, "download", *wanted], ", ".join(packages), cwd=downloads)
    for archive in downloads.glob("*.deb"):
        _run(["dpkg-deb", "-x", str(archive), str(home)], archive.name)
    shutil.rmtree(downloads)
    (home / ".complete").touch()
    return home


def _apt(home: Path) -> list[str]:
    """apt-get with lists and caches of its own, so that it needs no rights and leaves nothing behind."""
    state, cache = home / "state", home / "cache"
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (cache / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::State": state,
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": cache,
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    if not (home / ".updated").exists():
        _run([*apt, "update"], "Debian's package lists")
        (home / ".updated").touch()
    return apt


def _with_dependencies(apt: list[str], packages: tuple[str, ...]) -> list[str]:
    """`packages` and what they need that the system has not got: what a simulated installation would install."""
    command = [*(word for word in apt if word != "-qq"), "install", "--simulate", "--no-install-recommends", *packages]
    told = _run(command, ", ".join(packages))
    missing = [line.split()[1] for line in told.splitlines() if line.startswith("Inst ")]
    return sorted({*packages, *missing})


def _run(command: list[str], what: str, cwd: Path | None = None) -> str:
    """Its output; BenchError with the last line of its complaint where it fails."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{what} cannot be installed: {error}") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
        raise BenchError(f"{what} cannot be installed: {words[-1]}")
    return done.stdout


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
