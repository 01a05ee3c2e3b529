"""What AWS charges: the prices that come with imgpipe, or those of a file of the user's."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

from imgpipe.errors import ExitStatus, ImgpipeError

SHIPPED = "prices.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """List prices of one region in US dollars, as of a day (ISO-8601). `lambda_million_requests` is the key
    `million_requests` in the file's table [lambda]; a GB is 2^30 bytes, or 1024 MB of memory."""

    date: str
    region: str
    source: str
    lambda_gb_second_x86_64: float
    lambda_gb_second_arm64: float
    lambda_million_requests: float
    s3_thousand_puts: float
    s3_thousand_gets: float
    s3_gb_month: float
    sqs_million_requests: float
    dynamodb_million_writes: float
    dynamodb_million_reads: float
    dynamodb_gb_month: float
    dynamodb_backup_gb_month: float
    cloudwatch_log_gb: float
    cloudwatch_metric_month: float
    cloudwatch_alarm_month: float
    cloudwatch_dashboard_month: float

    def gb_second(self, architecture: str) -> float:
        """A second with 1 GB of memory on "x86_64" or "arm64"."""
        return self.lambda_gb_second_arm64 if architecture == "arm64" else self.lambda_gb_second_x86_64


_ABOUT = ("date", "region", "source")
_PRICES = tuple(one.name for one in fields(Prices) if one.name not in _ABOUT)


def load(path: Path | None = None) -> Prices:
    """The prices in `path`, or those that come with imgpipe. A file has every price, so that no two regions mix.

    Raises ImgpipeError (exit 2) that names the file and the key at fault.
    """
    shipped = files("imgpipe").joinpath(SHIPPED)
    try:
        data = tomllib.loads((path or shipped).read_text(encoding="utf-8"))
    except OSError as error:
        raise _broken(f"{path} cannot be read: {error.strerror}.", f"ls -l {path}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _broken(f"{path} is not TOML: {error}.", "mend it") from None
    try:
        return _prices(data)
    except ValueError as error:
        raise _broken(f"{path}: {error}.", f"cp {shipped} prices.toml, and change what is different") from None


def _prices(data: Mapping[str, Any]) -> Prices:
    """Raises ValueError that names the key."""
    flat = dict(_flat(data))
    for key in (*_ABOUT, *_PRICES):
        if key not in flat:
            raise ValueError(f"{_place(key)} is missing")
    if unknown := next((key for key in flat if key not in (*_ABOUT, *_PRICES)), None):
        raise ValueError(f"there is no price {_place(unknown)}")
    day = flat["date"].isoformat() if isinstance(flat["date"], date) else flat["date"]
    for key, value in (("date", day), ("region", flat["region"]), ("source", flat["source"])):
        if not isinstance(value, str) or not value:
            raise ValueError(f"{key} is a text, not {value!r}")
    for key in _PRICES:
        if not _is_price(flat[key]):
            raise ValueError(f"{_place(key)} is dollars, a number of at least 0, not {flat[key]!r}")
    return Prices(**{**{key: float(flat[key]) for key in _PRICES}, **{key: flat[key] for key in _ABOUT}, "date": day})


def _flat(data: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Keys by the names of Prices' fields; the tables are one deep."""
    tables = {key: value for key, value in data.items() if isinstance(value, Mapping)}
    inside = [(f"{table}_{key}", value) for table, entries in tables.items() for key, value in entries.items()]
    return [(key, value) for key, value in data.items() if key not in tables] + inside


def _place(name: str) -> str:
    """lambda.million_requests, where the field is lambda_million_requests."""
    return name.replace("_", ".", 1)


def _is_price(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _broken(message: str, hint: str) -> ImgpipeError:
    return ImgpipeError("prices", message, hint, ExitStatus.USAGE)
