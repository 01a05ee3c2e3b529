"""What the target `local` needs: a folder and a port for the engine, and libraries that make the pictures."""

from __future__ import annotations

import json
import shlex
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from imgpipe.config import Config
from imgpipe.doctor import machine
from imgpipe.doctor.findings import Check, Finding
from imgpipe.errors import ImgpipeError

_ALWAYS = {"jpg": "JPEG", "zlib": "PNG", "webp": "WebP", "littlecms2": "colour profiles"}
_ON_REQUEST = {"avif": "AVIF"}
_DESCRIPTORS = 256


def checks(config: Config) -> list[Check]:
    """What to look at for a pipeline on this machine."""
    if sys.platform == "win32":
        return [Check("system", _windows)]
    return [
        Check("pillow", lambda: pillow(config)),
        Check("resizer", resizer),
        Check("state", lambda: state(config)),
        Check("disk", lambda: disk(config)),
        Check("file_descriptors", file_descriptors),
        Check("engine", lambda: engine(config)),
    ]


def pillow(config: Config) -> Iterator[Finding]:
    """The formats that Pillow was built with, against those that the pipeline reads and writes."""
    import PIL
    from PIL import features

    asked = json.dumps(dict(config.parameters))
    needed = _ALWAYS | {name: words for name, words in _ON_REQUEST.items() if name in asked}
    missing = [words for name, words in needed.items() if not features.check(name)]
    if missing:
        said = f"Pillow {PIL.__version__} was built without {', '.join(missing)}."
        fix = machine.installing("--force-reinstall", "--no-deps", f"pillow=={PIL.__version__}")
        yield Finding("pillow", "fail", said, fix)
    else:
        yield Finding("pillow", "ok", f"Pillow {PIL.__version__} has {', '.join(needed.values())}.")


def resizer() -> Iterator[Finding]:
    """Whether the fast resizer passed its test against Pillow."""
    from image_pipeline import resize

    if resize._resize is resize._pillow_resize:
        said = "cykooz-resizer is missing or does not agree with this Pillow, so Pillow resizes, 5 to 9 times slower."
        pinned = [one for one in machine.requirements() if one.startswith(("cykooz-resizer", "pillow"))]
        yield Finding("resizer", "warn", said, machine.installing("--force-reinstall", *pinned))
    else:
        yield Finding("resizer", "ok", "cykooz-resizer is active and agrees with Pillow.")


def state(config: Config) -> Iterator[Finding]:
    """Whether the stage's folder, or the parent that it will be made in, can be written, and by nobody else."""
    from imgpipe.engine.folder import StageFolder

    folder = StageFolder(config.home.absolute() / config.stage)
    there = machine.nearest(folder.root)
    if why := machine.obstacle(folder.root):
        said = f"The state cannot be kept in {folder.root}: {why}."
        fix = f"ls -ld {shlex.quote(str(there))} shows why; IMGPIPE_HOME=FOLDER imgpipe up"
        yield Finding("state", "fail", said, fix)
    elif there != folder.root:
        yield Finding("state", "ok", f"{folder.root} can be made.")
    elif stat.S_IMODE(there.stat().st_mode) & 0o077:
        said = f"Other users of this machine can look into {there}, which holds your images."
        yield Finding("state", "warn", said, f"chmod 700 {shlex.quote(str(there))}")
    elif folder.saved.exists() and not (folder.objects.is_dir() and _is_json(folder.saved)):
        said = f"The saved state in {there} is damaged, and the engine will refuse it."
        yield Finding("state", "fail", said, "imgpipe down --yes starts afresh, without the images that it held")
    else:
        yield Finding("state", "ok", f"{there} can be written, and by you alone.")


def disk(config: Config) -> Iterator[Finding]:
    """Room for the images and everything made of them."""
    fix = f"du -sh {shlex.quote(str(config.home))}/*, then imgpipe down for a stage that is not needed"
    yield machine.room(config.home.absolute() / config.stage, warn_mb=1000, fail_mb=100, fix=fix)


def file_descriptors() -> Iterator[Finding]:
    """How many files and connections the engine may have open; macOS gives 256 unless told otherwise."""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < _DESCRIPTORS:
        said = f"A process may have only {limit} files and connections open."
        yield Finding("file_descriptors", "warn", said, "ulimit -n 1024, before imgpipe up")
    else:
        shown = "any number of" if limit == resource.RLIM_INFINITY else limit
        yield Finding("file_descriptors", "ok", f"A process may have {shown} files and connections open.")


def engine(config: Config) -> Iterator[Finding]:
    """The engine where it runs and answers; else whether it could have its port."""
    from imgpipe.engine.folder import StageFolder
    from imgpipe.targets import choose

    folder = StageFolder(config.home.absolute() / config.stage)
    running = folder.running()
    if running is None:
        yield Finding("engine", "ok", f"The stage {config.stage!r} is not up; imgpipe up starts it.")
        yield _port(config)
        return
    try:
        choose(config).connect()
    except ImgpipeError as error:
        yield Finding("engine", "fail", error.message, error.hint)
        return
    yield Finding("engine", "ok", f"The stage {config.stage!r} is up: process {running.pid} on port {running.port}.")
    yield Finding("port", "ok", f"Port {running.port} is its own.")


def _port(config: Config) -> Finding:
    from imgpipe.engine.supervisor import DEFAULT_PORT

    port = config.port or DEFAULT_PORT
    if machine.bindable(port):
        return Finding("port", "ok", f"Port {port} on 127.0.0.1 is free.")
    if not machine.bindable(0):
        said = "No program can listen on 127.0.0.1."
        return Finding("port", "fail", said, "ip addr show lo, or the rules of the sandbox that this runs in")
    owner = _stage_on(config, port)
    who = f"the engine of the stage {owner!r}" if owner else "another program"
    if config.port is None:
        said = f"Port {port} on 127.0.0.1 is taken by {who}, so imgpipe up takes another."
        # Several stages at a time are meant to be; a stranger may be a mistake.
        return Finding("port", "ok", said) if owner else Finding("port", "warn", said, f"lsof -i :{port} names it")
    fix = f"imgpipe --stage {owner} down --keep-data" if owner else f"lsof -i :{port} names it"
    said = f"Port {port} on 127.0.0.1, which IMGPIPE_PORT asks for, is taken by {who}."
    return Finding("port", "fail", said, f"unset IMGPIPE_PORT, and imgpipe up finds a free one; {fix}")


def _stage_on(config: Config, port: int) -> str | None:
    """The stage whose engine runs on a port."""
    from imgpipe.engine.folder import StageFolder

    for record in config.home.absolute().glob("*/engine.json"):
        running = StageFolder(record.parent).running()
        if running and running.port == port:
            return record.parent.name
    return None


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _windows() -> Iterator[Finding]:
    said = "The engine of the target local runs on Linux and macOS, not on Windows itself."
    yield Finding("system", "fail", said, "wsl --install, and imgpipe inside it; or imgpipe -t localstack, or -t aws")
