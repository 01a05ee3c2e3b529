"""PNG's faster way to the pixels: the same pixels as Pillow's own, and the same verdict on whatever is damaged."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pictures
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops
from PIL.PngImagePlugin import PngImageFile

from image_pipeline import png, unfilter
from image_pipeline.decode import decode
from image_pipeline.geometry import inside
from image_pipeline.guard import inspect
from image_pipeline.record import RefusedError
from image_pipeline.settings import Recipe

BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Depths by colour type, as PNG allows them."""

KINDS = [(colour, depth) for colour, depths in BITS.items() for depth in depths]


def made(
    size: tuple[int, int], kind: tuple[int, int], chance: Random, *, filters: bytes = b"\0\1\2\3\4", extra: bytes = b""
) -> bytes:
    """A PNG of noise, each row with a filter by chance, its data in chunks of any length."""
    (width, height), (colour, depth) = size, kind
    row = (width * png._CHANNELS[colour] * depth + 7) // 8
    packed = zlib.compress(b"".join(bytes([chance.choice(filters)]) + chance.randbytes(row) for _ in range(height)))
    cuts = sorted(chance.randrange(len(packed)) for _ in range(3))
    pieces = [packed[start:end] for start, end in zip([0, *cuts], [*cuts, len(packed)], strict=True)]
    palette = pictures.chunk(b"PLTE", chance.randbytes(3 << depth)) if colour == 3 else b""
    header = pictures.chunk(b"IHDR", struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0))
    data = b"".join(pictures.chunk(b"IDAT", piece) for piece in pieces)
    return b"\x89PNG\r\n\x1a\n" + header + palette + extra + data + pictures.chunk(b"IEND", b"")


def verdict(data: bytes) -> object:
    """The pixels of a file, or the code it is refused with."""
    try:
        decoded = decode(data, inspect(data, Recipe()), (10_000, 10_000))
    except RefusedError as refused:
        return refused.code
    return decoded.mode, decoded.image.mode, decoded.image.size, decoded.note, decoded.image.tobytes()


def by_pillow(data: bytes) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png, "igzip_lib", None)
        return verdict(data)


@given(
    st.tuples(st.integers(1, 70), st.integers(1, 40)),
    st.sampled_from(KINDS),
    st.integers(1, 4000),
    st.randoms(use_true_random=False),
)
def test_every_filter_in_every_mode_gives_the_pixels_that_pillow_gives(
    size: tuple[int, int], kind: tuple[int, int], band: int, chance: Random
) -> None:
    data = made(size, kind, chance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png, "_BAND", band)
        image = PngImageFile(BytesIO(data))
        assert png.decode_png(image, data, size) is not None or image.tile == []
        assert verdict(data) == by_pillow(data)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_libspng_unfilters_what_is_made_in_bands(kind: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    data, bands = made((40, 30), kind, Random(3)), list[int]()
    original = unfilter.Bands.band
    monkeypatch.setattr(png, "_BAND", 400)
    monkeypatch.setattr(unfilter.Bands, "band", lambda *given: bands.append(given[1]) or original(*given))
    verdict(data)
    assert sum(bands) == (30 if kind in ((0, 8), (2, 8), (6, 8), (2, 16), (6, 16)) else 0)
    assert not bands or len(bands) > 1


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_without_libspng_the_pixels_are_the_same(kind: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    data = made((40, 30), kind, Random(4))
    with_it = verdict(data)
    monkeypatch.setattr(png, "libspng", lambda: None)
    assert verdict(data) == with_it


@pytest.fixture
def forgotten() -> Iterator[None]:
    """libspng is looked for anew, in the test and after it."""
    unfilter.libspng.cache_clear()
    yield
    unfilter.libspng.cache_clear()


@pytest.mark.usefixtures("forgotten")
def test_libspng_is_used_only_where_it_is_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert unfilter.libspng() is not None

    def found() -> Any:
        unfilter.libspng.cache_clear()
        return unfilter.libspng()

    with monkeypatch.context() as patch:
        patch.setattr(unfilter, "_PIXELS", bytes(30))
        assert found() is None
    with monkeypatch.context() as patch:
        patch.setattr(unfilter, "_ROWS", b"\5" + unfilter._ROWS[1:])
        assert found() is None
    with monkeypatch.context() as patch:
        patch.setattr(unfilter, "find_spec", lambda _: None)
        assert found() is None
    (tmp_path / "other.so").write_bytes(b"no library")
    with monkeypatch.context() as patch:
        patch.setattr(unfilter, "find_spec", lambda _: SimpleNamespace(submodule_search_locations=[str(tmp_path)]))
        assert found() is None


@given(st.sampled_from(sorted(unfilter.MODES)), st.integers(1, 400), st.lists(st.integers(1, 60), min_size=1))
def test_bands_of_any_height_in_pieces_of_any_size_are_the_pixels_of_the_whole(
    mode: str, width: int, heights: list[int]
) -> None:
    chance = Random(repr((mode, width, heights)))
    row = 1 + width * len(mode)
    rows = [bytes([chance.randrange(5)]) + chance.randbytes(row - 1) for _ in range(sum(heights))]
    whole = unfilter.Bands(unfilter.libspng(), width, len(rows), mode).band(len(rows), rows)
    bands, made = unfilter.Bands(unfilter.libspng(), width, max(heights), mode), b""
    for height in heights:
        data = b"".join(rows[:height])
        del rows[:height]
        size = chance.choice([1, 7, row, unfilter.BLOCK, len(data)]) + len(data) // 50
        made += bands.band(height, (data[at : at + size] for at in range(0, len(data), size))).tobytes()
    assert made == whole.tobytes()


@pytest.mark.parametrize(("given_rows", "words"), [(2, "Rows are missing"), (4, "more rows than"), (0, "missing")])
def test_no_rows_are_made_up_and_none_are_lost(given_rows: int, words: str) -> None:
    bands = unfilter.Bands(unfilter.libspng(), 50, 3, "RGB")
    bands.band(3, [bytes(151)] * 3)
    with pytest.raises(unfilter.FilterError, match=words):
        bands.band(3, [bytes(151)] * given_rows)


def test_numpy_is_not_imported() -> None:
    program = (
        "import sys; from image_pipeline.unfilter import libspng; assert libspng(); assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("kind", [(0, 8), (2, 8), (3, 8), (2, 16)], ids=str)
def test_a_colour_that_stands_for_transparent_is_kept(kind: tuple[int, int]) -> None:
    extra = pictures.chunk(b"tRNS", b"\0\7" * {0: 1, 2: 3, 3: 1}[kind[0]])
    data = made((40, 30), kind, Random(5), extra=extra)
    assert verdict(data) == by_pillow(data)


@pytest.mark.parametrize("colour", [0, 2, 6])
def test_a_picture_that_is_narrowed_in_bands_looks_like_one_that_is_not(
    colour: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = pictures.scene(900, 700)
    scene.putalpha(Image.linear_gradient("L").resize(scene.size))
    data = pictures.saved(scene.convert({0: "L", 2: "RGB", 6: "RGBA"}[colour]), "PNG")
    wanted = inside((900, 700), 256)
    monkeypatch.setattr(png, "_BAND", 100_000)
    narrowed = decode(data, inspect(data, Recipe()), wanted)
    assert narrowed.image.size == narrowed.extent == wanted
    monkeypatch.setattr(png, "igzip_lib", None)
    whole = decode(data, inspect(data, Recipe()), wanted).image.resize(wanted, Image.Resampling.LANCZOS)
    mode = {0: "L", 2: "RGB", 6: "RGBX"}[colour]
    one, other = (Image.frombytes(mode, wanted, image.tobytes()) for image in (narrowed.image, whole))
    spread = ImageChops.difference(one, other).getextrema()
    assert all(high <= 4 for _, high in ([spread] if colour == 0 else spread))


def test_what_follows_the_pixels_is_left_to_pillow_where_it_matters() -> None:
    data = made((20, 20), (2, 8), Random(1))
    exif = Image.Exif()
    exif[0x0112] = 6
    late = data[:-12] + pictures.chunk(b"eXIf", exif.tobytes()[6:]) + data[-12:]
    assert decode(late, inspect(late, Recipe()), (20, 20)).exif
    dated = data[:-12] + pictures.chunk(b"tEXt", b"date:create\x002024") + data[-12:]
    assert png.decode_png(PngImageFile(BytesIO(dated)), dated, (20, 20)) is not None


def _with_rows(count: int) -> bytes:
    """20 rows by the header, and another number of them."""
    return pictures.png(20, 20, colour=2, pixels=zlib.compress(bytes(61 * count)))


@pytest.mark.parametrize(
    "data",
    [
        _with_rows(19),
        _with_rows(21),
        pictures.png(20, 20, colour=2, pixels=zlib.compress(bytes(61 * 20)) + b"more"),
        pictures.png(20, 20, colour=2, pixels=zlib.compress(bytes(61 * 20))[:-4] + b"\0\0\0\0"),
        pictures.png(20, 20, colour=2, pixels=zlib.compress(b"\5" + bytes(61 * 20 - 1))),
        pictures.png(20, 20, colour=2, pixels=b""),
        made((20, 20), (2, 8), Random(1)).replace(b"IEND", b"IDAT"),
    ],
    ids=["a row less", "a row more", "bytes behind", "another sum", "no such filter", "nothing", "no end"],
)
def test_whatever_is_unusual_is_judged_by_pillow(data: bytes) -> None:
    assert png.decode_png(PngImageFile(BytesIO(data)), data, (20, 20)) is None
    assert verdict(data) == by_pillow(data)


@pytest.mark.parametrize("kind", [(0, 8), (2, 8), (6, 8), (2, 16), (3, 4)], ids=str)
def test_damage_gets_the_verdict_that_pillow_gives(kind: tuple[int, int]) -> None:
    chance = Random(f"damage to {kind}")
    data = made((31, 23), kind, chance)
    for _ in range(150):
        broken = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        cut = bytes(broken[: chance.randrange(len(data))] if chance.random() < 0.3 else broken)
        assert verdict(cut) == by_pillow(cut)
