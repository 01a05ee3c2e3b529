"""The command line: how long one command takes, against a bare Python and against the tools that people have."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import (
    BenchError,
    Chart,
    Measured,
    Options,
    Part,
    Ratio,
    Sample,
    Table,
    alternate_commands,
    median_cpu,
    median_ratio,
    median_wall,
    quiet_core,
)
from benchmarks.peers import python_packages

PYTHON, OURS = "bare Python", "imgpipe"
PEERS = {"awscli": "aws", "aws-sam-cli": "sam", "chalice": "chalice", "awslogs": "awslogs"}
"""Packages of PyPI, each with the command that it installs."""

KEY = "photo-1.jpg"
STAGE, REGION, ACCOUNT = "bench", "us-east-1", "000000000000"
STACK = f"imgpipe-{STAGE}"

Samples = Mapping[str, list[Sample]]


@dataclass(frozen=True, eq=False)
class Task:
    """One thing to do, and how each tool is told to. `target` is the key of the target that it is judged by."""

    name: str
    commands: Mapping[str, str]
    target: str = ""


def tasks(endpoint: str) -> tuple[Task, ...]:
    """What is compared, on a stage whose AWS is at `endpoint`; a command is split at its blanks."""
    group, there = f"/aws/lambda/{STACK}-process", f"--endpoint-url {endpoint}"
    item = f"dynamodb get-item {there} --table-name {STACK}-images --key image_key={{S={KEY}}}"
    bucket = f"s3://{STACK}-input-images-{ACCOUNT}-{REGION}"
    return (
        Task("the version", dict.fromkeys((OURS, *PEERS.values()), "--version"), "version/python"),
        Task(
            "the front page of the help",
            {OURS: "--help", "aws": "help", "sam": "--help", "chalice": "--help", "awslogs": "--help"},
            "help/python",
        ),
        Task(
            "the help of one command",
            {OURS: "up --help", "aws": "s3 ls help", "sam": "deploy --help", "chalice": "deploy --help"}
            | {"awslogs": "get --help"},
        ),
        Task("one image's record", {OURS: f"meta {KEY}", "aws": item}, "meta/python"),
        Task("one image's record, as JSON", {OURS: f"meta {KEY} --json", "aws": f"{item} --output json"}),
        Task("a list of the images", {OURS: "ls", "aws": f"s3 ls {there} {bucket}"}),
        Task(
            "an hour of the function's log",
            {
                OURS: "logs",
                "aws": f"logs filter-log-events {there} --log-group-name {group}",
                "sam": f"logs --cw-log-group {group} --start-time 1h",
                "awslogs": f"get {group} --start=1h --aws-endpoint-url={endpoint}",
            },
        ),
    )


def prepare(options: Options) -> None:
    """Install the other tools."""
    _programs(options)


def run(options: Options) -> Part:
    """Every task in turns: bare Python, imgpipe and the peers, on a stage of its own that holds a few images."""
    programs, missing = _programs(options)
    measured: dict[Task, Samples] = {}
    with _stage(options, programs[OURS]) as (endpoint, env):
        for task in tasks(endpoint):
            options.progress(f"cli: {task.name}")
            commands = {PYTHON: [sys.executable, "-c", "pass"]}
            commands |= {
                name: [programs[name], *arguments.split()]
                for name, arguments in task.commands.items()
                if name in programs
            }
            measured[task] = _turns(task, commands, env, quick=options.quick)
    return Part(
        name="cli",
        tables=[_table("Elapsed, ms", measured, median_wall), _table("CPU, ms", measured, median_cpu)],
        ratios=[_ratio(task.target, samples) for task, samples in measured.items() if task.target],
        charts=[_chart(measured)],
        notes=_notes(programs[OURS]),
        versions=_versions(programs),
        missing=missing,
        measured=[
            Measured(name, task.name, median_cpu(taken), median_wall(taken), max(one.memory_mb or 0 for one in taken))
            for task, samples in measured.items()
            for name, taken in samples.items()
        ],
    )


def _turns(task: Task, commands: dict[str, list[str]], env: dict[str, str], *, quick: bool) -> Samples:
    """Three turns of all; and more of the two that a target compares, without the slow ones between them."""
    rounds = 2 if quick else 3
    samples = alternate_commands(commands, rounds, env=env, cpu=quiet_core())
    if task.target and not quick:
        judged = {name: commands[name] for name in (PYTHON, OURS)}
        for name, more in alternate_commands(judged, 9, env=env, cpu=quiet_core()).items():
            samples[name] += more
    return samples


def _programs(options: Options) -> tuple[dict[str, str], list[str]]:
    """The program of every tool that could be installed, and the others with the reason."""
    ours = Path(sys.executable).with_name(OURS)
    if not ours.exists():
        raise BenchError(f"imgpipe is not installed beside {sys.executable}")
    found, missing = {OURS: str(ours)}, []
    for package, command in PEERS.items():
        try:
            found[command] = str(python_packages(options, f"cli-{package}", package).with_name(command))
        except BenchError as error:
            missing.append(f"{package}: {error}")
    return found, missing


@contextlib.contextmanager
def _stage(options: Options, imgpipe: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A running stage with five images: its endpoint, and the environment that commands meet it in."""
    home = Path(tempfile.mkdtemp(prefix="cli-", dir=options.folder))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = _environment(home, port)

    def do(*arguments: str) -> None:
        options.progress(f"cli: imgpipe {arguments[0]}")
        done = subprocess.run([imgpipe, *arguments], env=env, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise BenchError(f"imgpipe {arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")

    try:
        # Away from any project whose files would be read, and from ours first of all.
        with contextlib.chdir(home):
            _photos(home / "photos")
            do("up")
            do("upload", "photos")
            yield env["AWS_ENDPOINT_URL"], env
    finally:
        with contextlib.suppress(BenchError):
            do("down", "--yes")
        shutil.rmtree(home, ignore_errors=True)


def _environment(home: Path, port: int) -> dict[str, str]:
    """What a user has, and nothing that would slow one of the tools down or send it elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("IMGPIPE_", "AWS_", "PYTHON"))}
    return kept | {
        "HOME": str(home),
        "IMGPIPE_HOME": str(home / "imgpipe"),
        "IMGPIPE_TARGET": "local",
        "IMGPIPE_STAGE": STAGE,
        "IMGPIPE_PORT": str(port),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_PAGER": "",
        "SAM_CLI_TELEMETRY": "0",
    }


def _photos(folder: Path) -> None:
    from PIL import Image

    folder.mkdir()
    for number in range(1, 6):
        Image.linear_gradient("L").resize((640, 400 + number)).save(folder / f"photo-{number}.jpg")


def _ratio(target: str, samples: Samples) -> Ratio:
    """The worse one of CPU and elapsed time."""
    cpu = median_ratio([one.cpu_ms for one in samples[OURS]], [one.cpu_ms for one in samples[PYTHON]])
    wall = median_ratio([one.wall_ms for one in samples[OURS]], [one.wall_ms for one in samples[PYTHON]])
    took = " against ".join(
        f"{median_cpu(samples[one]):.0f} ms CPU, {median_wall(samples[one]):.0f} elapsed" for one in (OURS, PYTHON)
    )
    return Ratio(target, max(cpu, wall), f"{took}; the worse quotient")


def _table(title: str, measured: Mapping[Task, Samples], figure: Callable[[list[Sample]], float]) -> Table:
    names = (PYTHON, OURS, *PEERS.values())
    rows = [
        [task.name, *(f"{figure(samples[name]):.0f}" if name in samples else "" for name in names)]
        for task, samples in measured.items()
    ]
    return Table(title, ["", *names], rows)


def _chart(measured: Mapping[Task, Samples]) -> Chart:
    bars = [(task.name, {name: median_wall(taken) for name, taken in one.items()}) for task, one in measured.items()]
    return Chart("cli", "One command, elapsed", "ms", bars)


def _notes(program: str) -> list[str]:
    notes = [
        "imgpipe is started by the script that pip installs, bare Python is the same interpreter with -c pass; every "
        "tool runs in a virtual environment of its own, into a pipe, against one stage on this machine.",
        *(
            f"{task.name}: " + "; ".join(f"{name} {arguments}" for name, arguments in task.commands.items())
            for task in tasks("URL")
            if len(set(task.commands.values())) > 1
        ),
    ]
    if "import re" in Path(program).read_text():
        notes.append("The script was written by an old pip: it imports re, which takes as long as Python's own start.")
    return notes


def _versions(programs: Mapping[str, str]) -> dict[str, str]:
    packages = {"imgpipe": OURS} | PEERS
    ask = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"
    said = {
        package: subprocess.run(
            [str(Path(programs[command]).with_name("python")), "-c", ask, package],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for package, command in packages.items()
        if command in programs
    }
    return said | {"Python": platform.python_version()}
