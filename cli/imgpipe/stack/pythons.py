"""The Pythons of this machine that are like the function's: to compile for it, and to try whether it starts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MANAGED = (".pyenv/versions/{python}.*", ".local/share/uv/python/cpython-{python}.*")
"""Where version managers install Pythons that are not on the path, below a user's home."""

_WHO = """
import json, platform as p
print(json.dumps([p.python_implementation(), p.python_version(), p.machine(), *p.libc_ver()]))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython that runs here. `libc` is "glibc" on the Linux that Lambda is like."""

    executable: str
    version: str
    machine: str
    libc: str


def installed(python: str) -> Iterator[Interpreter]:
    """The releases of this version ("3.13") that are here: that which runs imgpipe, one on the path, managed ones."""
    for candidate in dict.fromkeys(_candidates(python)):
        try:
            done = subprocess.run([candidate, "-I", "-c", _WHO], capture_output=True, text=True, timeout=30, check=True)
            name, version, machine, libc, _ = json.loads(done.stdout)
        except (OSError, subprocess.SubprocessError, ValueError):
            continue
        # A candidate for a release may still write bytecode of its own.
        if name == "CPython" and re.fullmatch(rf"{re.escape(python)}\.\d+", version):
            yield Interpreter(candidate, version, machine, libc)


def _candidates(python: str) -> Iterator[str]:
    yield sys.executable
    if on_path := shutil.which(f"python{python}"):
        yield on_path
    for folder in _MANAGED:
        found = Path.home().glob(f"{folder.format(python=python)}/bin/python{python}")
        yield from sorted(map(str, found), reverse=True)
