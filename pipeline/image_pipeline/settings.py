"""What the function is told through its environment, read once and checked before the first image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Fit = Literal["inside", "cover"]
OutputFormat = Literal["keep", "jpeg", "webp", "avif"]

INPUT_FORMATS = ("jpeg", "png", "gif", "webp", "avif", "tiff", "bmp")
"""Everything the guard can recognise. The first four are on by default; MPO counts as JPEG."""


class SettingsError(ValueError):
    """The environment does not describe a pipeline; the message names the variable and what it should hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionSpec:
    """One picture to make.

    `inside` fits the whole picture into a box of `box` × `box` pixels and never enlarges it; `cover` fills exactly
    that square with a centre crop. It is made for pictures whose longest side has at least `min_side` pixels.
    """

    name: str
    box: int
    fit: Fit = "inside"
    format: OutputFormat = "keep"
    min_side: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be decoded: bytes, pixels, and `memory` bytes for the pixels of one decoded picture."""

    max_bytes: int = 50_000_000
    max_pixels: int = 50_000_000
    max_side: int = 30_000
    max_scans: int = 100
    memory: int = 700_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides what the outputs of given bytes look like."""

    renditions: tuple[RenditionSpec, ...] = (
        RenditionSpec(name="1024", box=1024),
        RenditionSpec(name="512", box=512),
        RenditionSpec(name="128", box=128),
    )
    thumbnail: RenditionSpec | None = RenditionSpec(name="64", box=64, fit="cover", min_side=1024)
    formats: tuple[str, ...] = INPUT_FORMATS[:4]
    limits: Limits = Limits()

    @property
    def digest(self) -> str:
        """12 hex digits that change whenever the recipe does."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The stack as its function knows it. `backoff` holds the seconds to wait after each failed receive."""

    stack: str
    account: str
    input_bucket: str
    resized_bucket: str
    thumbnails_bucket: str
    table: str
    queue_url: str | None
    max_receives: int
    backoff: tuple[int, ...]
    recipe: Recipe

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read IMGPIPE_* from `environ`; raises SettingsError that names the variable at fault."""

        def required(name: str) -> str:
            if value := environ.get(name):
                return value
            raise SettingsError(f"{name} is not set: the function's environment comes from the stack's template")

        return cls(
            stack=required("IMGPIPE_STACK"),
            account=required("IMGPIPE_ACCOUNT"),
            input_bucket=required("IMGPIPE_INPUT_BUCKET"),
            resized_bucket=required("IMGPIPE_RESIZED_BUCKET"),
            thumbnails_bucket=required("IMGPIPE_THUMBNAILS_BUCKET"),
            table=required("IMGPIPE_TABLE"),
            queue_url=environ.get("IMGPIPE_QUEUE_URL") or None,
            max_receives=_integer(environ, "IMGPIPE_MAX_RECEIVES", 8, at_least=1),
            backoff=_backoff(environ.get("IMGPIPE_BACKOFF") or "2,10,60,300,900,1800,3600"),
            recipe=recipe_from_environment(environ),
        )


def recipe_from_environment(environ: Mapping[str, str]) -> Recipe:
    """The recipe that IMGPIPE_RENDITIONS, IMGPIPE_FORMATS and the IMGPIPE_MAX_* limits describe."""
    default = Limits()
    limits = Limits(
        max_bytes=_integer(environ, "IMGPIPE_MAX_BYTES", default.max_bytes, at_least=1),
        max_pixels=_integer(environ, "IMGPIPE_MAX_PIXELS", default.max_pixels, at_least=1),
        max_side=_integer(environ, "IMGPIPE_MAX_SIDE", default.max_side, at_least=1),
        max_scans=_integer(environ, "IMGPIPE_MAX_SCANS", default.max_scans, at_least=1),
        memory=_integer(environ, "IMGPIPE_MAX_DECODE_MEMORY", default.memory, at_least=1),
    )
    formats = Recipe().formats
    if text := environ.get("IMGPIPE_FORMATS"):
        formats = parse_formats(text.split(","))
    if not (text := environ.get("IMGPIPE_RENDITIONS")):
        return Recipe(formats=formats, limits=limits)
    try:
        data = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"IMGPIPE_RENDITIONS is not JSON: {error}") from None
    renditions, thumbnail = parse_renditions(data)
    return Recipe(renditions=renditions, thumbnail=thumbnail, formats=formats, limits=limits)


def parse_formats(names: list[str]) -> tuple[str, ...]:
    """Input formats by name, lower-cased; raises SettingsError for one that is not known."""
    formats = tuple(name.strip().lower() for name in names)
    if not formats:
        raise SettingsError("formats is empty: name at least one of " + ", ".join(INPUT_FORMATS))
    for name in formats:
        if name not in INPUT_FORMATS:
            raise SettingsError(f"{name!r} is not an input format: choose from " + ", ".join(INPUT_FORMATS))
    return formats


def parse_renditions(data: Any) -> tuple[tuple[RenditionSpec, ...], RenditionSpec | None]:
    """Renditions and thumbnail from `{"renditions": [{"box": 1024}, …], "thumbnail": {"box": 64} or null}`.

    A missing part keeps its default. Raises SettingsError that names the entry and what it may hold.
    """
    if not isinstance(data, dict) or set(data) - {"renditions", "thumbnail"}:
        raise SettingsError(f"renditions takes the keys renditions and thumbnail, not {_names(data)}")
    renditions, thumbnail = Recipe().renditions, Recipe().thumbnail
    if "renditions" in data:
        if not isinstance(data["renditions"], list) or not data["renditions"]:
            raise SettingsError("renditions is a list with at least one entry, such as [{box = 1024}]")
        renditions = tuple(_spec(one, f"renditions[{n}]", {}) for n, one in enumerate(data["renditions"]))
    if "thumbnail" in data:
        default = {"fit": "cover", "min_side": 1024}
        thumbnail = None if data["thumbnail"] is None else _spec(data["thumbnail"], "thumbnail", default)
    names = [one.name for one in (*renditions, *((thumbnail,) if thumbnail else ()))]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SettingsError(f"two pictures are called {sorted(twice)[0]!r}: give one of them another name")
    return renditions, thumbnail


def _spec(entry: Any, where: str, defaults: Mapping[str, Any]) -> RenditionSpec:
    allowed = ("name", "box", "fit", "format", "min_side")
    if not isinstance(entry, dict) or (set(entry) - set(allowed)):
        raise SettingsError(f"{where} takes the keys {', '.join(allowed)}, not {_names(entry)}")
    entry = {**defaults, **entry}
    box, min_side = entry.get("box"), entry.get("min_side", 0)
    fit, form = entry.get("fit", "inside"), entry.get("format", "keep")
    if not isinstance(box, int) or isinstance(box, bool) or not 1 <= box <= 8192:
        raise SettingsError(f"{where}.box is a whole number of pixels from 1 to 8192, not {box!r}")
    if not isinstance(min_side, int) or isinstance(min_side, bool) or min_side < 0:
        raise SettingsError(f"{where}.min_side is a whole number of pixels, not {min_side!r}")
    if fit not in ("inside", "cover"):
        raise SettingsError(f"{where}.fit is inside or cover, not {fit!r}")
    if form not in ("keep", "jpeg", "webp", "avif"):
        raise SettingsError(f"{where}.format is keep, jpeg, webp or avif, not {form!r}")
    name = entry.get("name", str(box) if form == "keep" else f"{box}-{form}")
    if not isinstance(name, str) or not name or len(name) > 32 or not name.replace("-", "").replace("_", "").isalnum():
        raise SettingsError(f"{where}.name is at most 32 letters, digits, - or _, not {name!r}")
    if name in ("original", "thumbnail"):
        raise SettingsError(f"{where}.name cannot be {name!r}: that is what `imgpipe get` calls something else")
    return RenditionSpec(name=name, box=box, fit=fit, format=form, min_side=min_side)


def _names(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, dict) else repr(value)


def _integer(environ: Mapping[str, str], name: str, default: int, *, at_least: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or int(text) < at_least:
        raise SettingsError(f"{name} is a whole number of at least {at_least}, not {text!r}")
    return int(text)


def _backoff(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) <= 43_200 for part in parts):
        raise SettingsError(f"IMGPIPE_BACKOFF is a list of seconds such as 2,10,60, each at most 43200, not {text!r}")
    return tuple(map(int, parts))
