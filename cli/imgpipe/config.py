"""What a command runs with: flags, then the environment, then imgpipe.toml, then defaults."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgpipe.errors import ExitStatus, ImgpipeError, usage
from imgpipe.hints import FLAGS

TARGETS = ("local", "localstack", "aws")
FILE = "imgpipe.toml"

_DEFAULTS = {"target": "local", "stage": "dev", "region": "us-east-1"}

_TEXTS = {
    "target": "one of local, localstack, aws",
    "stage": 'a name such as "dev"',
    "region": 'an AWS region such as "eu-west-1"',
    "profile": "the name of an AWS profile",
}
_KEYS = {
    **_TEXTS,
    "renditions": "a list of tables such as [{ box = 1024 }]",
    "thumbnail": "a table such as { box = 64 }, or false for none",
    "formats": 'a list of input formats such as ["jpeg", "png"]',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Where to run and what to make. `parameters` are the stack's, each a string as CloudFormation takes it.

    `given` are the options of the command line that another command would have to repeat to run in the same place.
    """

    target: str
    stage: str
    region: str
    home: Path
    profile: str | None = None
    endpoint_url: str | None = None
    port: int | None = None
    parameters: Mapping[str, str]
    given: Mapping[str, str]


def load(flags: Mapping[str, str], environ: Mapping[str, str], directory: Path) -> Config:
    """The configuration of one command.

    `flags` holds the options that were given, `directory` is where to begin looking for imgpipe.toml.
    Raises ImgpipeError (exit 2) that names the flag, the variable, or the file, line and key at fault.
    """
    found = find(directory, _home_folder(environ))
    file = _read(found) if found else {}

    def standing(name: str) -> str | None:
        variable = "IMGPIPE_ENDPOINT" if name == "endpoint_url" else f"IMGPIPE_{name.upper()}"
        return environ.get(variable) or file.get(name) or _DEFAULTS.get(name)

    def choose(name: str) -> str | None:
        return flags.get(name) or standing(name)

    target, stage = choose("target"), choose("stage")
    if target not in TARGETS:
        raise ImgpipeError(
            "unknown_target", f"There is no target {target!r}.", "choose local, localstack or aws", ExitStatus.USAGE
        )
    if flags.get("endpoint_url") and target != "localstack":
        raise usage(f"--endpoint-url belongs to the target localstack, not {target}.", "imgpipe -t localstack …")
    from imgpipe.stack.names import validate_stage

    region = choose("region") or ""
    if not re.fullmatch(r"[a-z]{2,}(-[a-z]+)+-\d+", region):
        raise usage(f"{region!r} is not the name of an AWS region.", "imgpipe --region eu-west-1 …")
    return Config(
        target=target,
        stage=validate_stage(stage or ""),
        region=region,
        profile=choose("profile"),
        endpoint_url=choose("endpoint_url"),
        home=_state(environ),
        port=_port(environ),
        parameters=_parameters(file),
        given={name: flags[name] for name in FLAGS if flags.get(name) and flags[name] != standing(name)},
    )


def find(directory: Path, home: Path | None) -> Path | None:
    """The nearest imgpipe.toml at or above `directory`; the search ends at a repository's root or the home folder."""
    for folder in (directory, *directory.parents):
        if (folder / FILE).is_file():
            return folder / FILE
        if (folder / ".git").exists() or folder == home:
            return None
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _broken(f"{path} is not TOML: {error}.", "mend the line it names") from None
    for key, value in data.items():
        where = f"{path}, line {line}" if (line := _line_of(text, key)) else str(path)
        if key not in _KEYS:
            raise _broken(f"{where}: there is no key {key!r}.", "the keys are " + ", ".join(_KEYS))
        if not _fits(key, value):
            raise _broken(f"{where}: {key} cannot be {value!r}.", f"{key} is {_KEYS[key]}")
    _check_recipe(path, text, data)
    return data


def _check_recipe(path: Path, text: str, data: Mapping[str, Any]) -> None:
    from image_pipeline.settings import SettingsError, parse_formats, parse_renditions

    checks: dict[str, Callable[[], object]] = {
        "formats": lambda: parse_formats(data["formats"]),
        # Together, for their names must differ.
        "renditions": lambda: parse_renditions(_recipe(data)),
        "thumbnail": lambda: parse_renditions(_recipe(data)),
    }
    for key in [key for key in checks if key in data]:
        try:
            checks[key]()
        except SettingsError as error:
            if key == "renditions" and str(error).startswith("thumbnail"):
                continue  # said with the line of the thumbnail
            where = f"{path}, line {line}" if (line := _line_of(text, key)) else str(path)
            raise _broken(f"{where}: {error}.", f"{key} is {_KEYS[key]}") from None


def _fits(key: str, value: Any) -> bool:
    if key in _TEXTS:
        return isinstance(value, str) and bool(value)
    if key == "formats":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if key == "thumbnail":
        return isinstance(value, dict) or value is False
    return isinstance(value, list)


def _line_of(text: str, key: str) -> int | None:
    """The line that a top-level key or its table begins on; tomllib does not say."""
    pattern = re.compile(rf"""^\s*(\[+\s*)?["']?{re.escape(key)}["']?\s*[=\].]""")
    return next((n for n, line in enumerate(text.splitlines(), 1) if pattern.match(line)), None)


def _parameters(file: Mapping[str, Any]) -> dict[str, str]:
    recipe = _recipe(file)
    return {
        "Renditions": json.dumps(recipe, separators=(",", ":")) if recipe else "",
        "Formats": ",".join(file.get("formats", ())),
    }


def _recipe(file: Mapping[str, Any]) -> dict[str, Any]:
    """What the function is told to make: `thumbnail = false` is none, for TOML has no null."""
    return {key: file[key] or None for key in ("renditions", "thumbnail") if key in file}


def _state(environ: Mapping[str, str]) -> Path:
    if home := environ.get("IMGPIPE_HOME"):
        return Path(home).expanduser().absolute()
    from platformdirs import user_state_path

    return user_state_path("imgpipe", appauthor=False)


def _home_folder(environ: Mapping[str, str]) -> Path | None:
    home = environ.get("HOME" if os.name != "nt" else "USERPROFILE")
    return Path(home) if home else None


def _port(environ: Mapping[str, str]) -> int | None:
    if not (text := environ.get("IMGPIPE_PORT")):
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise usage(f"IMGPIPE_PORT is a port from 1 to 65535, not {text!r}.", "unset IMGPIPE_PORT to use 4580")
    return int(text)


def _broken(message: str, hint: str) -> ImgpipeError:
    return ImgpipeError("config", message, hint, ExitStatus.USAGE)
