"""The cold start: the real bundle in a Python like Lambda's, from its start until the handler can be called."""

from __future__ import annotations

import io
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

from benchmarks.harness import (
    BenchError,
    Chart,
    Measured,
    Options,
    Part,
    Ratio,
    Table,
    alternate,
    alternate_commands,
    median_cpu,
    median_ratio,
    median_wall,
    quiet_core,
)
from imgpipe.errors import ImgpipeError
from imgpipe.stack import pythons
from imgpipe.stack.bundle import ARCHITECTURES, PYTHONS, LambdaBundle, lambda_bundle
from imgpipe.stack.wheels import MACHINES

_ARCHITECTURE = {machine: name for name, machine in MACHINES.items()}.get(platform.machine(), "")
"""What Lambda calls this machine's; "" where it has no such."""

PREFERRED = ("3.13", *(one for one in PYTHONS if one != "3.13"))
OURS, NAIVE, NAIVE_COMPILED, RUNTIME_BOTO = (
    "imgpipe",
    "common",
    "common, compiled",
    "common, boto3 of the runtime",
)
_RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py")
_ENVIRONMENT = {
    **{
        f"IMGPIPE_{name}": "bench" for name in ("STACK", "INPUT_BUCKET", "RESIZED_BUCKET", "THUMBNAILS_BUCKET", "TABLE")
    },
    "IMGPIPE_ACCOUNT": "000000000000",
    "IMGPIPE_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/bench",
    # What Lambda sets, of which the credentials are never used.
    **{"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "bench"},
    **{"AWS_SECRET_ACCESS_KEY": "bench", "AWS_SESSION_TOKEN": "bench", "HOME": "/nonexistent", "PATH": os.defpath},
}


def prepare(options: Options) -> None:
    """Build the bundles, and install the common one."""
    bundles, _ = _bundles(_ARCHITECTURE, _interpreter()[1], options)
    _installed(options, bundles[_ARCHITECTURE])


def run(options: Options) -> Part:
    """Start each contender in turns, and look at what the bundle imports and holds."""
    interpreter, python = _interpreter()
    bundles, missing = _bundles(_ARCHITECTURE, python, options)
    folder = options.folder / "coldstart"
    commands = _contenders(folder, bundles[_ARCHITECTURE], interpreter.executable, options)
    options.progress("coldstart: starting")
    samples = alternate_commands(commands, 3 if options.quick else 5, env=_ENVIRONMENT, cpu=quiet_core())
    cpu = {name: [one.cpu_ms for one in taken] for name, taken in samples.items()}
    ratio = median_ratio(cpu[OURS], cpu[NAIVE])
    rows = [
        [name, f"{median_cpu(taken):.0f}", f"{median_wall(taken):.0f}", f"{median_ratio(cpu[name], cpu[NAIVE]):.2f}"]
        for name, taken in samples.items()
    ]
    largest = max(len(made.data) / 1e6 for made in bundles.values())
    return Part(
        name="coldstart",
        tables=[
            Table(
                f"From the start of Python {interpreter.version} until the handler can be called",
                ["", "CPU ms", "wall ms", f"CPU / {NAIVE}"],
                rows,
                "One core, without site-packages. “Common” is what pip installs of Pillow, boto3 and "
                "Powertools with its tracer, and a handler that has three clients of boto3 and all of Pillow's "
                "formats; “compiled” with bytecode beside it; “boto3 of the runtime” without, but boto3 compiled.",
            ),
            _imports(commands[OURS]),
            _sizes(bundles),
        ],
        ratios=[
            Ratio(
                "coldstart/naive",
                ratio,
                f"{median_cpu(samples[OURS]):.0f} ms against {median_cpu(samples[NAIVE]):.0f} ms",
            ),
            Ratio(
                "bundle-mb", largest, ", ".join(f"{name} {len(one.data) / 1e6:.2f}" for name, one in bundles.items())
            ),
        ],
        charts=[
            Chart(
                "coldstart",
                "Cold start, CPU",
                "ms",
                [("import and clients", {n: median_cpu(s) for n, s in samples.items()})],
            )
        ],
        notes=_notes(bundles[_ARCHITECTURE]),
        versions={"Python of the function": interpreter.version}
        | {library.name: library.version for library in bundles[_ARCHITECTURE].libraries},
        missing=missing,
        measured=[
            Measured(name, "coldstart", median_cpu(taken), median_wall(taken)) for name, taken in samples.items()
        ],
    )


def _interpreter() -> tuple[pythons.Interpreter, str]:
    for python in PREFERRED:
        for found in pythons.installed(python):
            if found.machine == platform.machine() and found.libc == "glibc" and found.machine in MACHINES.values():
                return found, python
    raise BenchError(f"There is no Python {' or '.join(PREFERRED)} on a Linux like Lambda's here.")


def _bundles(architecture: str, python: str, options: Options) -> tuple[dict[str, LambdaBundle], list[str]]:
    """By architecture, this machine's first; and what could not be built."""
    made, missing = {}, []
    for name in sorted(ARCHITECTURES, key=lambda one: one != architecture):
        try:
            made[name] = lambda_bundle(name, python, lambda text: options.progress(f"coldstart: {text}"))
        except ImgpipeError as error:
            if name == architecture:
                raise BenchError(error.message) from error
            missing.append(f"bundle for {name}: {error.message}")
    return made, missing


def _contenders(folder: Path, made: LambdaBundle, executable: str, options: Options) -> dict[str, list[str]]:
    """Unpack ours, install the common one, put it there in three forms; the commands that start them."""
    installed = _installed(options, made)
    shutil.rmtree(folder, ignore_errors=True)
    zipfile.ZipFile(io.BytesIO(made.data)).extractall(folder / "imgpipe")
    common, compiled, bare, runtime = (folder / name for name in ("common", "compiled", "bare", "runtime"))
    runtime.mkdir()
    for place in (common, compiled, bare):
        shutil.copytree(installed, place)
        shutil.copy(Path(__file__).parent / "contenders" / "common_function.py", place)
    for name in _RUNTIME:
        (bare / name).rename(runtime / name)
    for place in (compiled, runtime):
        command = [executable, "-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        subprocess.run([*command, str(place)], check=False, capture_output=True)
    start = [executable, "-I", "-S", "-B", "-c"]
    return {
        "bare Python": [*start, "pass"],
        OURS: [*start, _importing("image_pipeline.handler", folder / "imgpipe")],
        NAIVE: [*start, _importing("common_function", common)],
        NAIVE_COMPILED: [*start, _importing("common_function", compiled)],
        RUNTIME_BOTO: [*start, _importing("common_function", bare, runtime)],
    }


def _installed(options: Options, made: LambdaBundle) -> Path:
    """What `pip install --target` puts into a bundle for this platform, from wheels and without bytecode."""
    versions = {library.name: library.version for library in made.libraries}
    wanted = [
        f"pillow=={versions['pillow']}",
        f"aws-lambda-powertools[tracer]=={versions['aws-lambda-powertools']}",
        f"boto3=={versions['botocore']}",
    ]
    place, stamp = options.folder / "common-bundle", options.folder / "common-bundle.txt"
    said = "\n".join([made.architecture, made.python, *wanted])
    if stamp.is_file() and stamp.read_text() == said:
        return place
    options.progress("coldstart: installing boto3, Powertools and Pillow as most people do")
    shutil.rmtree(place, ignore_errors=True)
    machine = MACHINES[made.architecture]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--only-binary", ":all:", "--python-version", made.python, "--target", str(place)]
    for platform_tag in (*(f"manylinux_2_{minor}_{machine}" for minor in (34, 28, 27, 17)), f"manylinux2014_{machine}"):
        command += ["--platform", platform_tag]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"pip: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    stamp.write_text(said)
    return place


def _importing(module: str, *folders: Path) -> str:
    return f"import sys; sys.path[:0] = {[str(one) for one in folders]!r}; import {module}"


def _imports(command: list[str]) -> Table:
    """Own time of every module, by the package that it is in; the last line is what making the clients costs."""
    at = command.index("-c")
    traced = [*command[:at], "-X", "importtime", *command[at:]]
    said = subprocess.run(traced, env=_ENVIRONMENT, capture_output=True, text=True, check=True).stderr
    own: Counter[str] = Counter()
    count: Counter[str] = Counter()
    slowest: Counter[str] = Counter()
    ours = {one.name.split(".")[0] for one in Path(command[-1].split("'")[1]).iterdir()}
    for microseconds, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", said):
        top = name.split(".")[0]
        package = top if top in ours else "the standard library"
        if name == "image_pipeline.handler":
            package = "settings and clients"
        own[package] += int(microseconds)
        count[package] += 1
        slowest[name] = int(microseconds)
    worst = ", ".join(
        f"{name} {time / 1000:.0f}" for name, time in slowest.most_common(6) if name != "image_pipeline.handler"
    )
    rows = [[name, str(count[name]), f"{time / 1000:.1f}"] for name, time in own.most_common()]
    return Table(
        "What imgpipe's cold start is made of", ["", "modules", "ms"], rows, f"One traced run; most in {worst}."
    )


def _sizes(bundles: dict[str, LambdaBundle]) -> Table:
    rows = [
        [
            name,
            f"{len(made.data) / 1e6:.2f}",
            f"{made.unzipped / 1e6:.1f}",
            f"Python {made.compiled_by}" if made.compiled_by else "no",
        ]
        for name, made in bundles.items()
    ]
    return Table("The bundle", ["", "zip MB", "unzipped MB", "compiled by"], rows)


def _notes(made: LambdaBundle) -> list[str]:
    """What comes after the cold start, with the first connections."""
    with zipfile.ZipFile(io.BytesIO(made.data)) as archive:
        authorities = archive.read("botocore/cacert.pem").decode()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    taken = alternate({"read": lambda: context.load_verify_locations(cadata=authorities)}, 5)["read"]
    return [
        f"Not part of it: reading the certificate authorities takes {median_cpu(taken):.0f} ms of CPU here. botocore "
        "does it for every new connection, of which an image takes five; imgpipe's function does it once."
    ]
