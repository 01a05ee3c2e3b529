"""What every target needs of this machine: the interpreter, the packages, room on a disk, ports."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from imgpipe import __version__
from imgpipe.doctor.findings import Check, Finding

_ANOTHER_PYTHON = "uv tool install --python 3.13 imgpipe"
_NAMED = ("ministack", "boto3", "pillow")
_MB = 1_000_000


def checks() -> list[Check]:
    """What to look at whatever the target is."""
    return [Check("python", python), Check("packages", packages)]


def python() -> Iterator[Finding]:
    """The interpreter, and the parts of it that are left out where their libraries were missing at its build."""
    here = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()} {platform.machine()}"
    missing = [name for name in ("ssl", "zlib") if not _imports(name)]
    if missing:
        yield Finding("python", "fail", f"{here} was built without {' and '.join(missing)}.", _ANOTHER_PYTHON)
    elif sys.version_info.releaselevel != "final":
        yield Finding("python", "warn", f"{here} is a preview, not a release.", _ANOTHER_PYTHON)
    else:
        yield Finding("python", "ok", f"{here}: {sys.executable}.")


def packages() -> Iterator[Finding]:
    """The installed versions against those that imgpipe declares."""
    installed: dict[str, str] = {}
    wrong: list[str] = []
    mends: list[str] = []
    for requirement in requirements():
        name, wanted = re.fullmatch(r"([\w.-]+)(.*)", requirement).groups()  # type: ignore[union-attr]
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            mends.append(requirement)
            continue
        if not satisfies(installed[name], wanted):
            wrong.append(f"{name} is {installed[name]}, not {wanted}")
            mends.append(requirement)
    if wrong:
        yield Finding("packages", "fail", f"{'; '.join(wrong)}.", installing(*mends))
        return
    named = ", ".join(f"{name} {installed[name]}" for name in _NAMED if name in installed)
    yield Finding("packages", "ok", f"imgpipe {__version__} with {named} and all else that it requires.")


def requirements() -> list[str]:
    """What imgpipe declares to need on this machine, without its extras: "ministack==1.5.33"."""
    declared = [one.partition(";") for one in importlib.metadata.requires("imgpipe") or ()]
    # The only conditions but an extra are a processor, or a system, that a library has no wheel for.
    elsewhere = ["extra", f"platform_machine != '{platform.machine()}'", f'platform_machine != "{platform.machine()}"']
    if sys.platform != "linux":
        elsewhere += ["sys_platform == 'linux'", 'sys_platform == "linux"']
    return [name.strip() for name, _, condition in declared if not any(one in condition for one in elsewhere)]


def satisfies(version: str, wanted: str) -> bool:
    """Whether a release is in a range such as ">=0.26,<0.29"; only ==, >= and < are known, and nothing else is used."""
    for one in filter(None, wanted.split(",")):
        sign, limit = re.fullmatch(r"(==|>=|<)([\d.]+)", one.strip()).groups()  # type: ignore[union-attr]
        here, there = _numbers(version), _numbers(limit)
        if not {"==": here == there, ">=": here >= there, "<": here < there}[sign]:
            return False
    return True


def installing(*requirements: str) -> str:
    """The command that installs packages into the environment that imgpipe runs in."""
    here = sys.executable
    pip = importlib.util.find_spec("pip") is not None
    start = [here, "-m", "pip", "install"] if pip else ["uv", "pip", "install", "--python", here]
    return shlex.join([*start, *requirements])


def bundling() -> list[Check]:
    """What it takes to build the function's bundle, which every target but `local` runs."""
    return [Check("installer", installer), Check("cache", cache)]


def installer() -> Iterator[Finding]:
    """What downloads the libraries for the bundle."""
    from imgpipe.stack import wheels

    how = "pip" if wheels.pip()[0] == sys.executable else "uv"
    yield Finding("installer", "ok", f"{how} is here to download the function's libraries.")


def bytecode(runtime: str) -> Iterator[Finding]:
    """Whether the function can be compiled for its own Python ("python3.13") before it is sent to Lambda."""
    from imgpipe.stack.pythons import installed

    python = runtime.removeprefix("python")
    if found := next(installed(python), None):
        yield Finding("bytecode", "ok", f"Python {found.version} is here to compile the function: {found.executable}.")
    else:
        said = f"No Python {python} is here to compile the function: its cold starts take twice as long."
        yield Finding("bytecode", "warn", said, f"uv python install {python}")


def cache() -> Iterator[Finding]:
    """Where the downloaded libraries are kept."""
    from imgpipe.stack.wheels import cache_folder

    folder = cache_folder()
    if why := obstacle(folder):
        yield Finding(
            "cache", "fail", f"Libraries cannot be kept in {folder}: {why}.", "IMGPIPE_HOME=FOLDER imgpipe up"
        )
        return
    yield room(folder, warn_mb=500, fail_mb=100, fix=f"du -sh {shlex.quote(str(nearest(folder)))}", name="cache")


def room(folder: Path, *, warn_mb: int, fail_mb: int, fix: str, name: str = "disk") -> Finding:
    """The space that is left on the disk that holds a folder, or will hold it."""
    there = nearest(folder)
    free = shutil.disk_usage(there).free // _MB
    size = f"{free / 1000:.1f} GB" if free >= 1000 else f"{free} MB"
    if free >= warn_mb:
        return Finding(name, "ok", f"{size} are free for {folder}.")
    return Finding(name, "fail" if free < fail_mb else "warn", f"Only {size} are free for {folder}.", fix)


def nearest(path: Path) -> Path:
    """`path`, or the closest of its parents that exists."""
    return next(one for one in (path, *path.parents) if one.exists())


def obstacle(folder: Path) -> str | None:
    """Why a folder can be neither written nor made, None where it can."""
    there = nearest(folder)
    if not there.is_dir():
        return f"{there} is not a folder"
    return None if os.access(there, os.W_OK | os.X_OK) else f"{there} cannot be written"


def bindable(port: int) -> bool:
    """Whether a server could take the port on 127.0.0.1 now; 0 asks for any port."""
    with socket.socket() as probe:
        # macOS lets 127.0.0.1 be taken from a program that listens on every address.
        probe.settimeout(1)
        if port and probe.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _imports(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """1.5.0 as (1, 5), so that it equals 1.5; a suffix such as rc1 is not looked at."""
    numbers = [int(part) for part in re.match(r"[\d.]*", version)[0].strip(".").split(".")]  # type: ignore[index]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
