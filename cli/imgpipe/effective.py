"""What a command would run with: every value, as the file would write it, and where it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imgpipe.config import Config
from imgpipe.stack.parameters import PARAMETERS


@dataclass(frozen=True, slots=True)
class Effective:
    """One value by its key in the file ("parameters.memory"). `origin` is a flag, a variable, a file with its line, a
    target that differs, or "default"; a value of None is one that nobody said and nothing needs."""

    key: str
    value: Any
    origin: str


def effective(config: Config, parameters: Mapping[str, str], environ: Mapping[str, str]) -> tuple[Effective, ...]:
    """Every value that matters on the configuration's target; `parameters` are those that the target makes of them."""
    return (*_place(config, environ), *_pictures(config), *_parameters(config, parameters), *_tags(config))


def _place(config: Config, environ: Mapping[str, str]) -> list[Effective]:
    values: dict[str, Any] = {"target": config.target, "stage": config.stage, "region": config.region}
    if config.target == "local":
        from imgpipe.engine.supervisor import DEFAULT_PORT

        values |= {"home": str(config.home), "port": config.port or DEFAULT_PORT}
    elif config.target == "localstack":
        from imgpipe.targets.localstack import DEFAULT_ENDPOINT

        values["endpoint_url"] = config.endpoint_url or DEFAULT_ENDPOINT
    else:
        # A profile that only AWS's own variable names stays boto3's to read.
        values |= {"profile": config.profile or environ.get(_origin(config, "profile")), "account": config.account}
    return [Effective(key, value, _origin(config, key)) for key, value in values.items()]


def _pictures(config: Config) -> list[Effective]:
    from image_pipeline.settings import Recipe

    said = json.loads(config.parameters.get("Renditions", "{}"))
    default = Recipe()
    thumbnail: dict[str, Any] = {}
    if (standard := default.thumbnail) is not None:
        thumbnail = {"box": standard.box, "fit": standard.fit, "min_side": standard.min_side}
    renditions = said.get("renditions", [{"box": one.box} for one in default.renditions])
    formats = config.parameters["Formats"].split(",") if "Formats" in config.parameters else list(default.formats)
    values = {"renditions": renditions, "thumbnail": said.get("thumbnail", thumbnail) or False, "formats": formats}
    return [Effective(key, value, _origin(config, key)) for key, value in values.items()]


def _parameters(config: Config, parameters: Mapping[str, str]) -> list[Effective]:
    found = []
    for one in PARAMETERS:
        text = parameters.get(one.name, one.text(one.default))
        # What is not as the file says, or not as the template does, is so because of the target.
        expected = config.parameters.get(one.name, one.text(one.default))
        origin = _origin(config, one.place) if text == expected else config.target
        found.append(Effective(one.place, one.value(text), origin))
    return found


def _tags(config: Config) -> list[Effective]:
    return [Effective(f"tags.{key}", value, _origin(config, f"tags.{key}")) for key, value in config.tags.items()]


def _origin(config: Config, key: str) -> str:
    return config.origins.get(key, "default")
