"""Nothing that a file holds beside its pixels comes out again: not in an output, not in the record."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace

import pytest
from torture.planted import FORMS, KEPT, MARKER, PLANTED

from image_pipeline.renditions import Rendered, render
from image_pipeline.settings import INPUT_FORMATS, Recipe, RenditionSpec

OUTPUTS = ("keep", "jpeg", "webp", "avif")
RECIPE = Recipe(
    formats=INPUT_FORMATS,
    renditions=tuple(
        RenditionSpec(name=f"{form}-{box}", box=box, format=form)  # type: ignore[arg-type]
        for form in OUTPUTS
        for box in (2000, 100)  # as it is, and resized
    ),
    thumbnail=RenditionSpec(name="t", box=64, fit="cover"),
)
ALLOWED = {
    "png": {b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"IDAT", b"IEND"},
    # JFIF, ICC profile, quantisation, frame, Huffman tables, scan.
    "jpeg": {b"\xe0", b"\xe2", b"\xdb", b"\xc0", b"\xc4", b"\xda"},
    "webp": {b"VP8X", b"ICCP", b"ALPH", b"VP8 ", b"VP8L"},
    "avif": {b"av01"},
}


def leaks(data: bytes) -> list[bytes]:
    """Every form of the marker in `data`, or in anything within it that zlib can unpack."""
    streams = [data]
    for start in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", data):
        try:
            streams.append(zlib.decompressobj().decompress(data[start.start() :], 4_000_000))
        except zlib.error:
            continue
    return [form for form in FORMS if any(form in stream for stream in streams)]


def parts(form: str, data: bytes) -> set[bytes]:
    """The kinds of chunks, segments or items of a file, which must end where its format says."""
    found, at = set[bytes](), {"png": 8, "jpeg": 2, "webp": 12, "avif": 0}[form]
    if form == "avif":
        meta = data[data.index(b"meta") : data.index(b"mdat")]
        return set(re.findall(rb"infe.{8}(....)", meta, re.DOTALL))
    while at < len(data):
        if form == "png":
            found.add(data[at + 4 : at + 8])
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        elif form == "webp":
            found.add(data[at : at + 4])
            size = int.from_bytes(data[at + 4 : at + 8], "little")
            at += 8 + size + size % 2
        else:
            found.add(data[at + 1 : at + 2])
            if data[at + 1] == 0xDA:
                assert data.index(b"\xff\xd9", at) == len(data) - 2
                break
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    assert form == "jpeg" or at == len(data)
    return found


@pytest.fixture(scope="module", params=PLANTED)
def planted(request: pytest.FixtureRequest) -> tuple[str, bytes, Rendered]:
    """A planted file by its name, its bytes, and what is made of it."""
    data = PLANTED[request.param]()
    return request.param, data, render(data, RECIPE)


def test_the_marker_is_in_every_corner_of_the_input(planted: tuple[str, bytes, Rendered]) -> None:
    """Else the search would find nothing because nothing is there."""
    name, data, rendered = planted
    assert MARKER in leaks(data)
    assert data.count(MARKER) >= {"BMP": 2, "MPO": 2}.get(name, 4)
    if name not in ("GIF", "BMP"):
        assert set(FORMS[:2]) <= set(leaks(data))
        assert {rendered.exif[field] for field in ("make", "model", "software")} == set(KEPT.values())
    if name not in ("BMP", "GIF"):
        assert any("profile kept" in note for note in rendered.notes)


def test_no_output_holds_it(planted: tuple[str, bytes, Rendered]) -> None:
    _, _, rendered = planted
    made = [*rendered.renditions, rendered.thumbnail]
    assert len(made) == 9
    assert {one.format for one in made if one} >= {"jpeg", "webp", "avif"}
    for picture in made:
        assert picture
        assert leaks(picture.data) == [], picture.name
        assert parts(picture.format, picture.data) <= ALLOWED[picture.format], picture.name


def test_no_record_holds_it(planted: tuple[str, bytes, Rendered]) -> None:
    _, _, rendered = planted
    facts = replace(rendered, renditions=(), thumbnail=None)
    assert leaks(repr(facts).encode()) == []
    assert set(rendered.exif) <= {
        *("make", "model", "lens", "software", "taken_at", "orientation", "exposure_time", "f_number", "iso"),
        "focal_length",
    }
    assert len(json.dumps(rendered.exif)) < 4096
