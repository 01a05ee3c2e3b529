"""`./scripts/bench`: runs the parts one after the other, shows what they found, and judges it.

Exit status: 0 all targets met, 1 a part failed, 2 wrong usage, 3 a target was missed.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import platformdirs

from benchmarks.harness import BenchError, Options, Part
from benchmarks.machine import machine
from benchmarks.report import Failure, Report, document, show, write_pages
from benchmarks.targets import judge

PARTS = ("imaging", "coldstart", "pipeline", "cli", "cost")
ROOT = Path(__file__).resolve().parent.parent.parent
MARKER = ".imgpipe-bench"
"""A file in every folder that this program made, so that --fresh removes no other."""


def main(arguments: list[str]) -> int:
    parser = _parser()
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.parts if name not in PARTS]:
        parser.error(f"no part is called {unknown[0]!r}: choose from {', '.join(PARTS)}")
    names = [name for name in PARTS if name in asked.parts] or list(PARTS)
    folder = Path(asked.keep).absolute() if asked.keep else platformdirs.user_cache_path("imgpipe") / "bench"
    if problem := _prepare(folder, fresh=asked.fresh):
        sys.stderr.write(f"bench: {problem}\n")
        return 2
    command = shlex.join(["./scripts/bench", *arguments])
    started = time.time()
    options = Options(quick=asked.quick, folder=folder, progress=lambda text: _progress(text, started))
    _fetch(names, options)
    parts: list[Part] = []
    failures: list[Failure] = []
    for name in names:
        result = _run(name, options)
        if isinstance(result, Part):
            parts.append(result)
        else:
            failures.append(result)
    _progress("", started)
    report = Report(
        command=command,
        started=started,
        seconds=time.time() - started,
        quick=asked.quick,
        machine=machine(),
        parts=parts,
        failures=failures,
        judged=judge((ratio for part in parts for ratio in part.ratios), names),
    )
    show(report)
    if asked.json:
        Path(asked.json).write_text(json.dumps(document(report), indent=2, ensure_ascii=False) + "\n", "utf-8")
    if asked.write or (len(names) == len(PARTS) and not asked.quick and not failures):
        written = write_pages(report, ROOT / "docs")
        sys.stdout.write(f"Wrote {written[0].relative_to(ROOT)} and {len(written) - 1} charts.\n")
    if failures:
        return 1
    return 3 if any(one.verdict == "missed" for one in report.judged) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./scripts/bench", description="Measure imgpipe against its peers and its targets."
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (all)")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: minutes become seconds, figures get rough")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured")
    parser.add_argument("--keep", metavar="DIR", help="where peers and pictures lie (below the user's cache directory)")
    parser.add_argument("--fresh", action="store_true", help="remove that directory first")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md, as a full run does")
    return parser


def _prepare(folder: Path, *, fresh: bool) -> str:
    """Make the throw-away folder; the reason where that cannot be, or ""."""
    marked = (folder / MARKER).exists()
    if folder.exists() and not marked and any(folder.iterdir()):
        return f"{folder} holds files of somebody else: name an empty directory with --keep"
    if fresh and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    return ""


def _fetch(names: list[str], options: Options) -> None:
    """Have all parts install and make what they lack, side by side: nothing is timed yet.

    What a part cannot get, it finds out again when it runs, and reports it.
    """

    def fetch(name: str) -> None:
        with suppress(Exception):
            import_module(f"benchmarks.{name}").prepare(options)

    with ThreadPoolExecutor(len(names)) as pool:
        pool.map(fetch, names)


def _run(name: str, options: Options) -> Part | Failure:
    options.progress(f"{name} …")
    try:
        module = import_module(f"benchmarks.{name}")
        part: Part = module.run(options)
    except ModuleNotFoundError as error:
        if error.name != f"benchmarks.{name}":
            return Failure(name, f"{type(error).__name__}: {error}", traceback.format_exc())
        return Failure(name, f"scripts/benchmarks/{name}.py is not there.", "")
    except BenchError as error:
        return Failure(name, str(error), "")
    except Exception as error:
        return Failure(name, f"{type(error).__name__}: {error}", traceback.format_exc())
    return part


def _progress(text: str, started: float) -> None:
    """One line with the time since the start, which the next replaces on a terminal; a line each where nobody watches.

    Nothing but an empty line where there is no text.
    """
    seconds = int(time.time() - started)
    line = f"{seconds // 60}:{seconds % 60:02} {text}" if text else ""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}")
    elif line:
        sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
