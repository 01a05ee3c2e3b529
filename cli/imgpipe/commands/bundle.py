"""`imgpipe bundle`: build the zip that Lambda runs, and look into it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgpipe.commands.base import Invocation
from imgpipe.console import Cell, Span

if TYPE_CHECKING:
    from imgpipe.console import Console
    from imgpipe.stack.bundle import LambdaBundle

EXAMPLES = """
imgpipe bundle
imgpipe bundle --arch x86_64 --python 3.13 -o function.zip
imgpipe bundle --json | jq -r .sha256
"""


def bundle(
    ctx: typer.Context,
    arch: Annotated[
        str | None, typer.Option("--arch", help="arm64 or x86_64; that of the target, else x86_64.", metavar="NAME")
    ] = None,
    python: Annotated[
        str | None, typer.Option("--python", help="3.12, 3.13 or 3.14; that of the target, else 3.13.", metavar="X.Y")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file, or a folder that exists.", metavar="PATH")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace a file that holds something else.")] = False,
) -> None:
    """Build the zip that Lambda runs: the function and its libraries, for Lambda's processor and Python.

    The libraries have the versions that are installed here. Where a Python of the function's version is here, the code
    is compiled, for quicker cold starts. What was built is inspected before it is written.
    """
    from imgpipe.stack.bundle import lambda_bundle
    from imgpipe.stack.parameters import default

    invocation = Invocation.of(ctx)
    console = invocation.console
    parameters = invocation.target.parameters(invocation.config.parameters)
    arch = arch or parameters.get("Architecture") or default("Architecture")
    python = python or (parameters.get("Runtime") or default("Runtime")).removeprefix("python")
    with console.steps() as progress:
        made = lambda_bundle(arch, python, progress)
    path = Path(f"imgpipe-{arch}-py{python}.zip") if output is None else output
    if path.is_dir():
        path /= f"imgpipe-{arch}-py{python}.zip"
    _write(path, made.data, force)
    _show(console, made, path)


def _write(path: Path, data: bytes, force: bool) -> None:
    """Write the zip whole or not at all; a file that holds it already is left as it is."""
    from imgpipe.downloads import refuse_to_overwrite
    from imgpipe.files import cannot_write, replacing

    try:
        if path.is_file() and path.read_bytes() == data:
            return
        if not force:
            refuse_to_overwrite([path])
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise cannot_write(path, error) from None


def _show(console: Console, made: LambdaBundle, path: Path) -> None:
    if console.json:
        document = {
            "file": str(path),
            "bytes": len(made.data),
            "unzipped_bytes": made.unzipped,
            "sha256": made.sha256,
            "architecture": made.architecture,
            "python": made.python,
            "compiled_by": made.compiled_by,
            "imported_by": made.imported_by,
            "libraries": [asdict(library) for library in made.libraries],
            "without": list(made.without),
        }
        console.emit(document)
        return
    compiled: Cell = Span(f"no: no Python {made.python} here; cold starts take twice as long", "warn")
    if made.compiled_by is not None:
        compiled = Span(f"yes, by Python {made.compiled_by}", "good")
    imported: Cell = Span(f"not tried: no Python {made.python} on {made.architecture} Linux here", "warn")
    if made.imported_by is not None:
        imported = Span(f"yes, by Python {made.imported_by} with nothing beside it", "good")
    facts: list[tuple[str, Cell]] = [
        ("file", Span(str(path), "name")),
        ("size", f"{len(made.data) / 1e6:.1f} MB, unzipped {made.unzipped / 1e6:.1f} MB"),
        ("sha256", made.sha256),
        ("architecture", made.architecture),
        ("python", made.python),
        ("compiled", compiled),
        ("imports", imported),
    ]
    console.facts(facts)
    console.line()
    rows: list[tuple[Cell, str, str]] = [(Span(one.name, "name"), one.version, one.wheel) for one in made.libraries]
    rows += [(Span(name, "name"), "none", f"it has no wheel for {made.architecture}") for name in made.without]
    console.table(("library", "version", "wheel"), rows)
