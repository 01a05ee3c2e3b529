"""imgpipe: what its function does with the bytes of an image, without AWS."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.contenders.worker import COVER, Outputs, serve
from image_pipeline import renditions
from image_pipeline.renditions import render, render_stream
from image_pipeline.settings import INPUT_FORMATS, Limits, OutputFormat, Recipe
from image_pipeline.stream import Arriving


def recipe(form: OutputFormat) -> Recipe:
    """The default pictures, all in one format, from any format and of any size."""
    default = Recipe()
    assert default.thumbnail  # noqa: S101 - the default has one
    return Recipe(
        renditions=tuple(replace(spec, format=form) for spec in default.renditions),
        thumbnail=replace(default.thumbnail, format=form),
        formats=INPUT_FORMATS,
        limits=Limits(max_bytes=200_000_000, max_pixels=200_000_000, memory=4_000_000_000),
    )


_RECIPES = {"jpeg": recipe("jpeg"), "webp": recipe("webp")}


def work(data: bytes, form: str) -> Outputs:
    hashlib.sha256(data).hexdigest()
    rendered = render(data, _RECIPES[form])
    outputs = {picture.name: picture.data for picture in rendered.renditions}
    if rendered.thumbnail:
        outputs[str(COVER)] = rendered.thumbnail.data
    return outputs


def work_on_file(path: str, form: str) -> None:
    """As the function does it: the bytes arrive block by block, and are kept only where the format asks for that."""
    with Path(path).open("rb") as file:
        render_stream(Arriving(file.read, Path(path).stat().st_size), _RECIPES[form])


STAGES = ("SHA-256", "decode", "resize", "encode", "all else")


def stages(data: bytes, form: str) -> dict[str, float]:
    """The milliseconds of CPU that each of STAGES takes, whichever thread it runs in."""
    spent = dict.fromkeys(STAGES, 0.0)

    def timed(stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            started = time.thread_time()
            try:
                return call(*arguments, **options)
            finally:
                spent[stage] += 1000 * (time.thread_time() - started)

        return run

    parts = {name: timed(stage, getattr(renditions, name)) for name, stage in _PARTS.items()}
    with patch.multiple(renditions, **parts), patch.object(hashlib, "sha256", timed("SHA-256", hashlib.sha256)):
        started = time.process_time()
        work(data, form)
        together = 1000 * (time.process_time() - started)
    spent["all else"] = max(0.0, together - sum(spent.values()))
    return spent


_PARTS = {"decode": "decode", "lanczos": "resize", "encode": "encode"}


def versions() -> dict[str, str]:
    from importlib.metadata import version

    import PIL
    from PIL import features

    return {
        "imgpipe": version("imgpipe"),
        "Pillow": PIL.__version__,
        "libjpeg-turbo (Pillow's)": features.version("libjpeg_turbo") or "",
    }


if __name__ == "__main__":
    serve(work, versions, work_on_file=work_on_file, stages=stages)
