"""imgpipe: what its function does with the bytes of an image, without AWS."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from benchmarks.contenders.worker import COVER, Outputs, serve
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
    serve(work, versions, work_on_file=work_on_file)
