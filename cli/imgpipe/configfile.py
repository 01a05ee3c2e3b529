"""imgpipe.toml, or [tool.imgpipe] of pyproject.toml: where it is, and what it says once it was read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgpipe.tomllines import Place

FILE = "imgpipe.toml"
PROJECT = "pyproject.toml"
TARGETS = ("local", "localstack", "aws")


@dataclass(frozen=True, slots=True)
class Entry:
    """One value, the place where it stands, and the line of that in words."""

    value: Any
    where: str
    place: Place


@dataclass(frozen=True, slots=True)
class File:
    """A file without mistakes: what it says for every stage, and for single ones, by key ("parameters.memory")."""

    path: Path
    top: Mapping[str, Entry]
    stages: Mapping[str, Mapping[str, Entry]]

    def of(self, stage: str) -> dict[str, Entry]:
        """What holds for one stage: its own section wins, key by key."""
        return {**self.top, **self.stages.get(stage, {})}


def find(directory: Path, home: Path | None) -> Path | None:
    """The nearest file at or above `directory`; the search ends at a repository's root or the home folder.

    A pyproject.toml counts when it has a table [tool.imgpipe], and where there is no imgpipe.toml beside it.
    """
    for folder in (directory, *directory.parents):
        if (folder / FILE).is_file():
            return folder / FILE
        if has_table(folder / PROJECT):
            return folder / PROJECT
        if (folder / ".git").exists() or folder == home:
            return None
    return None


def recipe(entries: Mapping[str, Entry]) -> dict[str, Any]:
    """What the function is told to make: `thumbnail = false` is none, for TOML has no null."""
    said = {key: entries[key].value for key in ("renditions", "thumbnail") if key in entries}
    return {key: None if value is False else value for key, value in said.items()}


def recipe_json(entries: Mapping[str, Entry]) -> str:
    """The same as the template's parameter."""
    return json.dumps(recipe(entries), separators=(",", ":"))


def has_table(path: Path) -> bool:
    # Most projects never name us, and a file that nobody meant for us is none of our business even when broken.
    if not path.is_file() or b"imgpipe" not in path.read_bytes():
        return False
    from imgpipe.configreader import parse

    tool = parse(path)[1].get("tool")
    return isinstance(tool, dict) and isinstance(tool.get("imgpipe"), dict)
