"""What the tests of the documents share: the commands in them, whether imgpipe knows these, and where links lead."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from imgpipe.app import root

DOCS = Path(__file__).parent.parent / "docs"


def blocks(text: str) -> dict[str, str]:
    """The code blocks of a document by language, those of one language together."""
    found: dict[str, str] = {}
    for language, block in re.findall(r"^ *```(\w+)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        found[language] = found.get(language, "") + block
    return found


def commands(text: str) -> list[str]:
    """The lines of its shell blocks without their comments, and what else it says that begins with `imgpipe`."""
    lines = [line.partition(" # ")[0].strip() for line in blocks(text).get("sh", "").splitlines()]
    return [line for line in lines if line] + re.findall(r"`(imgpipe [^`]+)`", text)


def parse(line: str) -> None:
    """Fails where imgpipe would call this command line a wrong use."""
    group = root()
    with group.make_context("imgpipe", shlex.split(line)[1:]) as context:
        name, command, rest = group.resolve_command(context, context._protected_args + context.args)
        command.make_context(name, rest, parent=context)


def broken_links(path: Path) -> list[str]:
    """The links of a document to files or headings that do not exist."""
    broken = []
    for link in re.findall(r"\]\((?!http)([^)]+)\)", path.read_text(encoding="utf-8")):
        name, _, heading = link.partition("#")
        file = path.parent / name if name else path
        if not file.exists() or (heading and heading not in _headings(file)):
            broken.append(link)
    return broken


def _headings(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in titles}
