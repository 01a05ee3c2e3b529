"""What may be decoded: every limit is checked on the bytes and headers, before a decoder sees them."""

from __future__ import annotations

from dataclasses import dataclass

from image_pipeline.headers import Header, boxes_end_early, check_tiff, read_header
from image_pipeline.record import Refusal, RefusedError
from image_pipeline.settings import INPUT_FORMATS, Limits, Recipe
from image_pipeline.sniff import describe, image_format
from image_pipeline.stream import Arriving

_HEAD = 65_536
"""Bytes that most photographs' headers fit in, with a preview and a profile."""

_PLUGIN_MEMORY = {"avif": 10, "tiff": 8, "bmp": 4}
"""Bytes per pixel, measured, for the formats whose size Pillow's plugin reads without decoding."""


@dataclass(frozen=True, slots=True)
class Sniffed:
    """A picture that may be decoded. `format` is one of settings.INPUT_FORMATS; the size is as stored.

    `ends_early` says that the file's structure reaches beyond its last byte: should decoding fail, that is why.
    `one_pass` says that it can be decoded while its bytes arrive.
    """

    format: str
    width: int
    height: int
    frames: int = 1
    ends_early: bool = False
    one_pass: bool = False


def inspect(data: bytes, recipe: Recipe) -> Sniffed:
    """Check one file against the recipe's formats and limits, without decoding it.

    Raises RefusedError with the code of the first rule that is broken.
    """
    if not data:
        raise RefusedError(Refusal.EMPTY)
    if len(data) > recipe.limits.max_bytes:
        raise RefusedError(
            Refusal.TOO_LARGE,
            f"It has {_millions(len(data))} MB, at most {_millions(recipe.limits.max_bytes)} MB.",
        )
    form = _supported(data, recipe)
    if form == "tiff":
        check_tiff(data, recipe.limits.max_pixels)
    header = _plugin_header(form, data) if form in _PLUGIN_MEMORY else read_header(form, data, recipe.limits.max_scans)
    check_size(form, header.width, header.height, header.bytes_per_pixel, recipe.limits)
    if header.scans > recipe.limits.max_scans:
        raise RefusedError(Refusal.TOO_MANY_SCANS, f"At most {recipe.limits.max_scans}.")
    return Sniffed(form, header.width, header.height, header.frames, header.ends_early, header.one_pass)


def inspect_arriving(arriving: Arriving, recipe: Recipe) -> tuple[Sniffed, bytes]:
    """Check a file as `inspect` does; returns its first bytes where it can be decoded `one_pass`, else all of them.

    Raises RefusedError once the last byte has come, and TransientError where it does not.
    """
    head = arriving.head(_HEAD)
    while image_format(head) == "jpeg" and len(head) < arriving.size:
        try:
            sniffed = inspect(head, recipe)
        except RefusedError as refused:
            if refused.code is not Refusal.TRUNCATED:
                break
            head = arriving.head(2 * len(head))
            continue
        if sniffed.one_pass:
            return sniffed, head
        break
    data = arriving.whole()
    return inspect(data, recipe), data


def _supported(data: bytes, recipe: Recipe) -> str:
    form = image_format(data)
    if form in recipe.formats:
        return form
    if form in INPUT_FORMATS:
        raise RefusedError(Refusal.UNSUPPORTED_TYPE, f"This is {form.upper()}, which is off: add it to formats.")
    found = describe(data)
    raise RefusedError(Refusal.UNSUPPORTED_TYPE, f"This is {found}." if found else "")


def _plugin_header(form: str, data: bytes) -> Header:
    # Imported here because a default stack never meets these formats, and the guard itself needs no decoder.
    from image_pipeline.decode import open_image

    ends_early = form == "avif" and boxes_end_early(data)
    image = open_image(form, data, ends_early)
    return Header(
        width=image.width,
        height=image.height,
        bytes_per_pixel=_PLUGIN_MEMORY[form],
        # A TIFF's pages would have to be visited one by one.
        frames=image.n_frames if form == "avif" else 1,
        ends_early=ends_early,
    )


def check_size(form: str, width: int, height: int, bytes_per_pixel: float, limits: Limits) -> None:
    """Raise RefusedError when a picture of this size, or the memory that decoding it takes, is over a limit."""
    if width < 1 or height < 1:
        raise RefusedError(Refusal.CORRUPT, f"It claims to be {width} × {height} pixels.")
    size, pixels = f"{width} × {height}", width * height
    if max(width, height) > limits.max_side:
        raise RefusedError(Refusal.TOO_MANY_PIXELS, f"It is {size}, at most {limits.max_side} a side.")
    if pixels > limits.max_pixels:
        raise RefusedError(
            Refusal.TOO_MANY_PIXELS,
            f"It is {size}, which is {_millions(pixels)} MP; at most {_millions(limits.max_pixels)} MP.",
        )
    if pixels * bytes_per_pixel > limits.memory:
        raise RefusedError(
            Refusal.TOO_MANY_PIXELS,
            f"A {form.upper()} of {size} takes {_millions(pixels * bytes_per_pixel)} MB to decode, "
            f"at most {_millions(limits.memory)} MB.",
        )


def _millions(number: float) -> str:
    """Millions with one decimal, or more where the number would read as nothing."""
    return f"{number / 1_000_000:.1f}" if number >= 100_000 else f"{number / 1_000_000:.6f}".rstrip("0")
