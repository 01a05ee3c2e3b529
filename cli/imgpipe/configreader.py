"""Reads imgpipe.toml, or [tool.imgpipe] of pyproject.toml, and checks it key by key, each with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgpipe.configfile import PROJECT, TARGETS, Entry, File, recipe, recipe_json
from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.stack.parameters import LONGEST_RECIPE, PARAMETERS, TABLES, Kind, Matching, OneOf
from imgpipe.tomllines import Place, lines_of


def read(path: Path) -> File:
    """A file's content; raises ImgpipeError (exit 2) that names the file, the line and the key at fault."""
    text, data = parse(path)
    if path.name == PROJECT:
        return _Reader(path, text, ("tool", "imgpipe")).read(data["tool"]["imgpipe"])
    return _Reader(path, text, ()).read(data)


def parse(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a file and what TOML makes of it; raises ImgpipeError (exit 2) where that is nothing."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return text, tomllib.loads(text)
    except OSError as error:
        raise _broken(f"{path} cannot be read: {error.strerror}.", f"ls -l {path}") from None
    except UnicodeDecodeError as error:
        raise _broken(f"{path} is not TOML: {error}.", "save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        said, _, place = str(error).rstrip(")").partition(" (at ")
        raise _broken(f"{path}, {place or 'its end'}: this is not TOML: {said}.", "mend that line") from None


@dataclass(frozen=True, slots=True)
class _Shape:
    """A list or a table, whose inside is checked with the function's own rules."""

    says: str
    holds: Callable[[Any], bool]


_KEYS: dict[str, Kind | _Shape] = {
    "target": OneOf(TARGETS),
    "stage": Matching(".+", 'a name such as "dev"'),
    "region": Matching(".+", 'an AWS region such as "eu-west-1"'),
    "profile": Matching(".+", "the name of an AWS profile"),
    "account": Matching("[0-9]{12}", 'the 12 digits of an AWS account, in quotes: "123456789012"'),
    "renditions": _Shape("a list of tables such as [{ box = 1024 }]", lambda value: isinstance(value, list)),
    "thumbnail": _Shape(
        "a table such as { box = 64 }, or false for none", lambda value: isinstance(value, dict) or value is False
    ),
    "formats": _Shape(
        'a list of input formats such as ["jpeg", "png"]',
        lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    ),
}
_TABLES: dict[str, dict[str, Kind]] = {
    table: {one.key: one.kind for one in PARAMETERS if one.table == table} for table in TABLES
}
_TAG_NAME = Matching(
    r"(?i:(?!aws:|imgpipe:))[\w .:/=+@-]{1,128}",
    "at most 128 letters, digits, spaces and . : / = + @ - _, and does not begin with aws: or imgpipe:",
)
_TAG_VALUE = Matching(r"[\w .:/=+@-]{0,256}", "at most 256 letters, digits, spaces and . : / = + @ - _")
_MOST_TAGS = 49  # a stack has 50, one of which is ours


class _Reader:
    """One file on its way to a File; knows the line of everything in it."""

    def __init__(self, path: Path, text: str, prefix: Place) -> None:
        self.path = path
        self.prefix = prefix
        self.lines = lines_of(text)

    def read(self, data: Mapping[str, Any]) -> File:
        sections = data.get("stages", {})
        if not isinstance(sections, dict):
            raise self._cannot(("stages",), sections, "a table for each stage, such as [stages.prod]")
        top = self._section((), data)
        stages = {name: self._stage(name, section) for name, section in sections.items()}
        for entries in (top, *({**top, **one} for one in stages.values())):
            self._check_recipe(entries)
        return File(self.path, top, stages)

    def _stage(self, name: str, section: Any) -> dict[str, Entry]:
        place = ("stages", name)
        _check_stage(name, self._where(place))
        if not isinstance(section, dict):
            raise self._cannot(place, section, "a table with the keys " + ", ".join(_KEYS))
        return self._section(place, section)

    def _section(self, place: Place, data: Mapping[str, Any]) -> dict[str, Entry]:
        """The top level, or what stands in one [stages.…]."""
        nested = (*_TABLES, "tags")
        keys = {**_KEYS, **dict.fromkeys((*nested, *(() if place else ("stages",))))}
        if place:
            del keys["stage"]
        entries: dict[str, Entry] = {}
        for key, value in data.items():
            here = (*place, key)
            if key not in keys:
                raise self._unknown(place, key, keys)
            if key in nested:
                entries |= self._table(here, key, value)
            elif key != "stages":
                entries[key] = self._entry(here, value, _KEYS[key])
        if (stage := entries.get("stage")) is not None:
            _check_stage(stage.value, stage.where)
        return entries

    def _table(self, place: Place, table: str, data: Any) -> dict[str, Entry]:
        if not isinstance(data, dict):
            raise self._cannot(place, data, "a table with keys of its own")
        known: Mapping[str, Kind] = self._tags(place, data) if table == "tags" else _TABLES[table]
        entries = {}
        for key, value in data.items():
            if key not in known:
                raise self._unknown(place, key, known)
            entries[f"{table}.{key}"] = self._entry((*place, key), value, known[key])
        return entries

    def _tags(self, place: Place, data: Mapping[str, Any]) -> dict[str, Kind]:
        for key in data:
            if not _TAG_NAME.holds(key):
                message = f"{self._where((*place, key))}: {key!r} cannot be the name of a tag."
                raise _broken(message, f"a tag's name is {_TAG_NAME.says}")
        if len(data) > _MOST_TAGS:
            raise _broken(f"{self._where(place)}: these are {len(data)} tags.", f"a stack takes {_MOST_TAGS} of yours")
        return dict.fromkeys(data, _TAG_VALUE)

    def _entry(self, place: Place, value: Any, kind: Kind | _Shape) -> Entry:
        if not kind.holds(value):
            raise self._cannot(place, value, kind.says)
        return Entry(value, self._where(place), place)

    def _check_recipe(self, entries: Mapping[str, Entry]) -> None:
        """Renditions and thumbnail are checked together, for their names must differ."""
        if not {"renditions", "thumbnail", "formats"} & set(entries):
            return
        from image_pipeline.settings import SettingsError, parse_formats, parse_renditions

        if formats := entries.get("formats"):
            try:
                parse_formats(formats.value)
            except SettingsError as error:
                raise _broken(f"{formats.where}: {error}.", f"formats is {_KEYS['formats'].says}") from None
        made = recipe(entries)
        if not made:
            return
        key = next(iter(made))
        try:
            parse_renditions(made)
        except SettingsError as error:
            if str(error).startswith("thumbnail") and "thumbnail" in entries:
                key = "thumbnail"
            # The message begins with the place: renditions[1].box, or thumbnail.box.
            found = re.match(rf"{key}(?:\[(\d+)\])?(?:\.(\w+))?", str(error))
            deeper = (*([int(found[1])] if found and found[1] else []), *([found[2]] if found and found[2] else []))
            where = self._where((*entries[key].place, *deeper))
            raise _broken(f"{where}: {error}.", f"{key} is {_KEYS[key].says}") from None
        if (size := len(recipe_json(entries).encode())) > LONGEST_RECIPE:
            where = entries[key].where
            raise _broken(f"{where}: the renditions take {size} bytes, at most {LONGEST_RECIPE}.", "make them fewer")

    def _where(self, place: Place) -> str:
        """The file and the line of a value, or of what it stands in."""
        full = (*self.prefix, *place)
        while full and full not in self.lines:
            full = full[:-1]
        return f"{self.path}, line {self.lines[full]}" if full else str(self.path)

    def _cannot(self, place: Place, value: Any, says: str) -> ImgpipeError:
        return _broken(f"{self._where(place)}: {place[-1]} cannot be {value!r}.", f"{place[-1]} is {says}")

    def _unknown(self, section: Place, key: str, known: Iterable[str]) -> ImgpipeError:
        from difflib import get_close_matches

        table = f" in [{'.'.join(map(str, section))}]" if section else ""
        homes = [one for one, keys in _TABLES.items() if key in keys]
        guess = ""
        if key == "stage" and section:
            guess = ": the name of the section is the stage"
        elif homes:
            stage = section[:2] if section[:1] == ("stages",) else ()
            guess = f": it belongs to [{'.'.join(map(str, (*stage, *homes)))}]"
        elif close := get_close_matches(key, known, n=1):
            guess = f": did you mean {close[0]}?"
        end = "" if guess.endswith("?") else "."
        where = self._where((*section, key))
        return _broken(f"{where}: there is no key {key!r}{table}{guess}{end}", "the keys are " + ", ".join(known))


def _check_stage(name: str, where: str) -> None:
    from imgpipe.stack.names import validate_stage

    try:
        validate_stage(name)
    except ImgpipeError as error:
        raise _broken(f"{where}: {error.message}", error.hint) from None


def _broken(message: str, hint: str) -> ImgpipeError:
    return ImgpipeError("config", message, hint, ExitStatus.USAGE)
