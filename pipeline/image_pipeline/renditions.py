"""One image in, its renditions out, without any service: guard, decode once, resize down a chain, encode."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

from PIL import Image

from image_pipeline.colour import Colour, interpret
from image_pipeline.decode import Decoded, decode, decode_arriving, refusing
from image_pipeline.encode import CONTENT_TYPES, EXTENSIONS, GREY_MODES, encode, output_format
from image_pipeline.geometry import Size, centre_square, covering, covers, inside
from image_pipeline.guard import Sniffed, inspect, inspect_arriving
from image_pipeline.metadata import exif_facts
from image_pipeline.resize import lanczos, unmultiply
from image_pipeline.settings import Recipe, RenditionSpec
from image_pipeline.stream import Arriving

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

    `timings_ms` holds decode, without the wait for bytes, resize, and encode, as far as it went on after that, in whole
    milliseconds.
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
        look = _look(inspect(data, recipe), data, recipe)
    return _make(look, recipe)


def render_stream(arriving: Arriving, recipe: Recipe) -> Rendered:
    """As `render`, of bytes that are still arriving: they are decoded as they come, where they can be.

    All bytes have come when it returns, and when it raises RefusedError: there is no verdict on a part of a file.
    Raises TransientError where they do not come.
    """
    with refusing(ends_early=False):
        look = _look(*inspect_arriving(arriving, recipe), recipe, arriving)
    return _make(look, recipe)


@dataclass(frozen=True, slots=True)
class _Look:
    """What was read from one file, and the pictures to make of it. `decode_ms` is without the time that bytes took."""

    sniffed: Sniffed
    decoded: Decoded
    exif: dict[str, str | int]
    orientation: int
    colour: Colour
    specs: list[RenditionSpec]
    decode_ms: int


def _look(sniffed: Sniffed, data: bytes, recipe: Recipe, arriving: Arriving | None = None) -> _Look:
    started, waited = perf_counter(), arriving.waited if arriving else 0
    stored = (sniffed.width, sniffed.height)
    specs = [spec for spec in _all_specs(recipe) if max(stored) >= spec.min_side]
    wanted = _wanted(stored, specs)
    if arriving is None or arriving.size == len(data):
        decoded = decode(data, sniffed, wanted)
    else:
        decoded = decode_arriving(data, arriving, sniffed, wanted)
    exif = exif_facts(data if sniffed.format == "tiff" else decoded.exif)
    # Pillow turns a TIFF upright as it loads it.
    orientation = 1 if sniffed.format == "tiff" else int(exif.get("orientation", 1))
    colour = interpret(decoded.icc, decoded.image.mode)
    waited = arriving.waited - waited if arriving else 0
    return _Look(sniffed, decoded, exif, orientation, colour, specs, _milliseconds(started, perf_counter() - waited))


def _make(look: _Look, recipe: Recipe) -> Rendered:
    sniffed, decoded, colour = look.sniffed, look.decoded, look.colour
    stored = (sniffed.width, sniffed.height)
    started = perf_counter()
    chain = _Chain(decoded, stored, colour, look.orientation)
    encoder = _Encoder(sniffed, decoded.mode, colour)
    images: dict[RenditionSpec, Image.Image] = {}
    # From the largest to the smallest, so that each is made from the one before; which is encoded meanwhile.
    for spec in sorted(look.specs, key=lambda spec: _needed(stored, spec), reverse=True):
        images[spec] = chain.image(spec)
        encoder.begin(spec, images[spec])
    smallest = min(images.values(), key=_area, default=None) or chain.image(_SPECK)
    dominant = colour.mean_of(smallest)
    resized_at = perf_counter()
    pictures = encoder.pictures()
    encoded_at = perf_counter()
    notes = (decoded.note, colour.note, *_frame_notes(sniffed), *encoder.notes, *_size_notes(recipe, chain.size))
    return Rendered(
        format=sniffed.format,
        content_type=CONTENT_TYPES[sniffed.format],
        width=chain.size[0],
        height=chain.size[1],
        mode=decoded.mode,
        frames=sniffed.frames,
        exif=look.exif,
        dominant_colour=dominant,
        notes=tuple(note for note in notes if note),
        renditions=tuple(pictures[spec] for spec in recipe.renditions if spec in pictures),
        thumbnail=pictures.get(recipe.thumbnail) if recipe.thumbnail else None,
        timings_ms={
            "decode": look.decode_ms,
            "resize": _milliseconds(started, resized_at),
            "encode": _milliseconds(resized_at, encoded_at),
        },
    )


def _milliseconds(started: float, ended: float) -> int:
    return round(1000 * (ended - started))


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
    """Makes upright pictures of decreasing size, each from the smallest one so far that is at least twice as large.

    Where none is, from the largest: a short step adds its own blur to that of the steps before.
    """

    def __init__(self, decoded: Decoded, stored: Size, colour: Colour, orientation: int) -> None:
        self.size: Size = (stored[1], stored[0]) if orientation >= 5 else stored
        self._decoded = decoded
        self._colour = colour
        self._orientation = orientation
        self._made: dict[Size, Image.Image] = {}

    def image(self, spec: RenditionSpec) -> Image.Image:
        """The picture of `spec`, as L, RGB or RGBa."""
        needed = _needed(self.size, spec)
        source = self._source(needed)
        if spec.fit == "cover":
            square = (spec.box, spec.box)
            if source:
                return lanczos(source, square, centre_square(*source.size))
            return self._finished(lanczos(self._decoded.image, square, centre_square(*self._decoded.extent)))
        if needed not in self._made:
            self._made[needed] = lanczos(source, needed) if source else self._first(needed)
        return self._made[needed]

    def _source(self, needed: Size) -> Image.Image | None:
        """The picture to make one of size `needed` from; None where only the decoded one serves."""
        large = {size: one for size, one in self._made.items() if covers(size, needed)}
        ample = [one for size, one in large.items() if covers(size, (2 * needed[0], 2 * needed[1]))]
        return min(ample, key=_area) if ample else max(large.values(), key=_area, default=None)

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


_pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="encode")
"""The largest picture takes one of them as long as all others take the other."""


class _Encoder:
    """Writes pictures beside what else goes on, the same pixels in the same format once.

    `notes` says what the format cost them.
    """

    def __init__(self, sniffed: Sniffed, mode: str, colour: Colour) -> None:
        self.notes: list[str] = []
        self._source, self._mode = sniffed.format, mode
        self._icc = colour.embed.clean if colour.embed else None
        self._files: dict[tuple[int, str], Future[bytes]] = {}
        self._begun: list[tuple[RenditionSpec, Size, str, Future[bytes]]] = []

    def begin(self, spec: RenditionSpec, image: Image.Image) -> None:
        """Start to write one picture; its pixels may be read meanwhile, and must not change."""
        form = output_format(spec.format, self._source, self._mode)
        if spec.format == "keep" and form != self._source:
            self._note(f"{self._source.upper()} is written as {form.upper()}.")
        if form == "jpeg" and image.mode == "RGBa":
            self._note("Transparency is laid on white in JPEG.")
        place = (id(image), form)
        if place not in self._files:
            grey = self._mode in GREY_MODES
            self._files[place] = _pool.submit(encode, image, form, icc=self._icc, grey=grey)
        self._begun.append((spec, image.size, form, self._files[place]))

    def pictures(self) -> dict[RenditionSpec, Picture]:
        """All that were begun, once they are written."""
        return {
            spec: Picture(spec.name, *size, form, CONTENT_TYPES[form], EXTENSIONS[form], file.result())
            for spec, size, form, file in self._begun
        }

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _area(image: Image.Image) -> int:
    return image.width * image.height


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
