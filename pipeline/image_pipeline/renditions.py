"""One image in, its renditions out, without any service: guard, decode once, resize down a chain, encode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

from PIL import Image

from image_pipeline.colour import Colour, interpret
from image_pipeline.decode import Decoded, decode, refusing
from image_pipeline.encode import CONTENT_TYPES, EXTENSIONS, GREY_MODES, encode, output_format
from image_pipeline.geometry import Size, centre_square, covering, covers, inside
from image_pipeline.guard import Sniffed, inspect
from image_pipeline.metadata import exif_facts
from image_pipeline.resize import lanczos, unmultiply
from image_pipeline.settings import Recipe, RenditionSpec

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientations, and what turns each of them upright."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that was made, `data` being the file."""

    name: str
    width: int
    height: int
    format: str
    content_type: str
    extension: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is known of an image, and all its pictures. `width` and `height` are as displayed; `mode` is Pillow's.

    `timings_ms` holds decode, resize and encode, in whole milliseconds.
    """

    format: str
    content_type: str
    width: int
    height: int
    mode: str
    frames: int
    exif: dict[str, str | int]
    dominant_colour: str
    notes: tuple[str, ...]
    renditions: tuple[Picture, ...]
    thumbnail: Picture | None
    timings_ms: dict[str, int]


def render(data: bytes, recipe: Recipe) -> Rendered:
    """Make every picture of `recipe` from the bytes of one image.

    Raises RefusedError for whatever cannot be processed, its cause being what a decoder raised, and MemoryError where
    there is too little of it.
    """
    # Whatever goes wrong while a stranger's bytes are read is the fault of the bytes: no retry would mend it.
    with refusing(ends_early=False):
        sniffed = inspect(data, recipe)
        stored = (sniffed.width, sniffed.height)
        specs = [spec for spec in _all_specs(recipe) if max(stored) >= spec.min_side]
        started = perf_counter()
        decoded = decode(data, sniffed, _wanted(stored, specs))
        exif = exif_facts(data if sniffed.format == "tiff" else decoded.exif)
        # Pillow turns a TIFF upright as it loads it.
        orientation = 1 if sniffed.format == "tiff" else int(exif.get("orientation", 1))
        colour = interpret(decoded.icc, decoded.image.mode)
    decoded_at = perf_counter()
    chain = _Chain(decoded, stored, colour, orientation)
    # From the largest to the smallest, so that each is made from the one before.
    images = {spec: chain.image(spec) for spec in sorted(specs, key=lambda spec: _needed(stored, spec), reverse=True)}
    smallest = min(images.values(), key=lambda one: one.width * one.height, default=None) or chain.image(_SPECK)
    dominant = _mean_colour(smallest, colour)
    resized_at = perf_counter()
    encoder = _Encoder(sniffed, decoded.mode, colour)
    pictures = {spec: encoder.picture(spec, image) for spec, image in images.items()}
    encoded_at = perf_counter()
    notes = (decoded.note, colour.note, *_frame_notes(sniffed), *encoder.notes, *_size_notes(recipe, chain.size))
    return Rendered(
        format=sniffed.format,
        content_type=CONTENT_TYPES[sniffed.format],
        width=chain.size[0],
        height=chain.size[1],
        mode=decoded.mode,
        frames=sniffed.frames,
        exif=exif,
        dominant_colour=dominant,
        notes=tuple(note for note in notes if note),
        renditions=tuple(pictures[spec] for spec in recipe.renditions if spec in pictures),
        thumbnail=pictures.get(recipe.thumbnail) if recipe.thumbnail else None,
        timings_ms={
            "decode": round(1000 * (decoded_at - started)),
            "resize": round(1000 * (resized_at - decoded_at)),
            "encode": round(1000 * (encoded_at - resized_at)),
        },
    )


_SPECK = RenditionSpec(name="", box=16)
"""Stands in for the smallest rendition where there is none."""


def _all_specs(recipe: Recipe) -> Iterator[RenditionSpec]:
    yield from recipe.renditions
    if recipe.thumbnail:
        yield recipe.thumbnail


def _needed(size: Size, spec: RenditionSpec) -> Size:
    """What the whole picture has to measure at least, for `spec` to be made from it."""
    return inside(size, spec.box) if spec.fit == "inside" else covering(size, spec.box)


def _wanted(size: Size, specs: list[RenditionSpec]) -> Size:
    """What the decoded picture has to measure at least, for all of `specs`."""
    needed = [_needed(size, spec) for spec in specs or [_SPECK]]
    return max(width for width, _ in needed), max(height for _, height in needed)


class _Chain:
    """Makes upright pictures of decreasing size, each from the smallest one so far that is large enough."""

    def __init__(self, decoded: Decoded, stored: Size, colour: Colour, orientation: int) -> None:
        self.size: Size = (stored[1], stored[0]) if orientation >= 5 else stored
        self._decoded = decoded
        self._colour = colour
        self._orientation = orientation
        self._made: dict[Size, Image.Image] = {}

    def image(self, spec: RenditionSpec) -> Image.Image:
        """The picture of `spec`, as L, RGB or RGBa."""
        needed = _needed(self.size, spec)
        source = min((one for size, one in self._made.items() if covers(size, needed)), key=_area, default=None)
        if spec.fit == "cover":
            square = (spec.box, spec.box)
            if source:
                return lanczos(source, square, centre_square(*source.size))
            return self._finished(lanczos(self._decoded.image, square, centre_square(*self._decoded.extent)))
        if needed not in self._made:
            self._made[needed] = lanczos(source, needed) if source else self._first(needed)
        return self._made[needed]

    def _first(self, size: Size) -> Image.Image:
        """The whole picture at `size` from the decoded pixels, which lie as they were stored."""
        image = self._decoded.image
        stored = (size[1], size[0]) if self._orientation >= 5 else size
        if image.size != stored or self._decoded.extent != stored:
            image = lanczos(image, stored, (0, 0, *self._decoded.extent))
        return self._finished(image)

    def _finished(self, image: Image.Image) -> Image.Image:
        """In the colours of the outputs, without a transparency that nothing uses, and upright.

        All of it after the resize, where a tenth of the pixels are left to work on.
        """
        image = self._colour.prepare(image)
        if image.mode == "RGBa" and image.getchannel("a").getextrema()[0] == 255:
            image = unmultiply(image).convert("L" if self._decoded.mode in GREY_MODES else "RGB")
        turn = _UPRIGHT.get(self._orientation)
        return image if turn is None else image.transpose(turn)


class _Encoder:
    """Writes pictures, the same pixels in the same format once; `notes` says what the format cost them."""

    def __init__(self, sniffed: Sniffed, mode: str, colour: Colour) -> None:
        self.notes: list[str] = []
        self._source, self._mode = sniffed.format, mode
        self._icc = colour.embed.clean if colour.embed else None
        self._files: dict[tuple[int, str], bytes] = {}

    def picture(self, spec: RenditionSpec, image: Image.Image) -> Picture:
        form = output_format(spec.format, self._source, self._mode)
        if spec.format == "keep" and form != self._source:
            self._note(f"{self._source.upper()} is written as {form.upper()}.")
        if form == "jpeg" and image.mode == "RGBa":
            self._note("Transparency is laid on white in JPEG.")
        place = (id(image), form)
        if place not in self._files:
            grey = self._mode in GREY_MODES
            self._files[place] = encode(image, form, icc=self._icc, grey=grey)
        return Picture(
            spec.name, image.width, image.height, form, CONTENT_TYPES[form], EXTENSIONS[form], self._files[place]
        )

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _area(image: Image.Image) -> int:
    return image.width * image.height


def _mean_colour(image: Image.Image, colour: Colour) -> str:
    """The mean of what is visible of `image`, in sRGB, as #rrggbb; white where nothing is."""
    mean = image.resize((1, 1), Image.Resampling.BOX).convert("RGBA")
    red, green, blue, alpha = mean.tobytes()
    return "#{:02x}{:02x}{:02x}".format(*colour.in_srgb((red, green, blue))) if alpha else "#ffffff"


def _frame_notes(sniffed: Sniffed) -> Iterator[str]:
    if sniffed.frames > 1:
        yield f"It has {sniffed.frames} frames; the first one is used."


def _size_notes(recipe: Recipe, size: Size) -> Iterator[str]:
    """Which pictures were not made, or not at the size of their box, and why."""
    longest, shortest = max(size), min(size)
    fitted = [spec for spec in recipe.renditions if spec.fit == "inside" and longest >= spec.min_side]
    if kept := [spec.name for spec in fitted if longest < spec.box]:
        yield f"The picture is smaller than its box in {', '.join(kept)}: there it keeps its size."
    for spec in _all_specs(recipe):
        what = "thumbnail" if spec is recipe.thumbnail else f"rendition {spec.name}"
        if longest < spec.min_side:
            yield f"No {what}: the longest side has {longest} px, it is made from {spec.min_side} px on."
        elif spec.fit == "cover" and shortest < spec.box:
            yield f"Enlarged in {what}: the shortest side has {shortest} px of {spec.box}."
