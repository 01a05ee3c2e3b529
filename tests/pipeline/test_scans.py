"""JPEG scales and scans: how little is decoded, and that nobody can tell."""

from __future__ import annotations

import math
import re
from functools import cache
from io import BytesIO
from random import Random
from typing import Any

import pictures
import pytest
from PIL import Image, ImageChops, ImageStat

from image_pipeline import decode, renditions
from image_pipeline.record import RefusedError
from image_pipeline.renditions import Rendered, render
from image_pipeline.scans import spare_bits, without_refinements
from image_pipeline.settings import Limits, Recipe, RenditionSpec

QUARTER = Recipe(
    renditions=(RenditionSpec(name="large", box=440), RenditionSpec(name="small", box=128)),
    thumbnail=RenditionSpec(name="square", box=64, fit="cover"),
)
"""What is made of `photo` when it is decoded at a quarter of its size."""

HALF = Recipe(renditions=(RenditionSpec(name="large", box=860),))
WHOLE = Recipe(renditions=(RenditionSpec(name="large", box=1024),))


@cache
def photo() -> bytes:
    """Scans as libjpeg makes them: the last of its ten refine red, blue and brightness, the sixth brightness, too."""
    return pictures.saved(pictures.noisy(2400, 1600), "JPEG", quality=92, progressive=True)


@cache
def baseline() -> bytes:
    return pictures.saved(pictures.noisy(2400, 1600), "JPEG", quality=90)


ALL = {1: 2, 2: 1, 3: 1}
"""The bits that `photo` refines: those of brightness twice."""


def scans(data: bytes) -> list[tuple[int, int]]:
    """Where each begins, and what follows it."""
    begins = [one.start() for one in re.finditer(b"\xff\xda", data)]
    return [(one, re.compile(rb"\xff[^\x00\xd0-\xd7]").search(data, one + 10).start()) for one in begins]  # type: ignore[union-attr]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[decode.Decoded]:
    """All that is decoded while the test runs."""
    found = list[decode.Decoded]()
    original = renditions.decode
    monkeypatch.setattr(renditions, "decode", lambda *all_: found.append(original(*all_)) or found[-1])
    return found


@pytest.mark.parametrize(
    ("size", "scale"),
    [
        ((1023, 700), 1),
        ((2048, 1365), 1),  # a half would need no resizing, and shows it
        ((2814, 1876), 1),
        ((2816, 1877), 2),
        ((4032, 3024), 2),  # a phone's 12 MP
        ((5116, 3411), 2),
        ((5120, 3413), 4),
        ((6000, 4000), 4),  # a camera's 24 MP
        ((10232, 6821), 4),
        ((10240, 6827), 8),
        ((12000, 9000), 8),  # 108 MP
        ((30000, 700), 8),
    ],
)
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_serves(
    size: tuple[int, int], scale: int, decoded: list[decode.Decoded]
) -> None:
    """So no picture of the full size is ever held, but of a file that is hardly larger than what is made of it."""
    recipe = Recipe(limits=Limits(max_pixels=200_000_000))
    render(pictures.large_jpeg(*size), recipe)
    (one,) = decoded
    assert one.image.size == (math.ceil(size[0] / scale), math.ceil(size[1] / scale))
    assert one.extent == (size[0] / scale, size[1] / scale)
    assert max(one.image.size) < 2.75 * 1024 or scale == 8


@pytest.mark.parametrize(("box", "scale"), [(872, 2), (480, 4), (240, 8)])
def test_a_scaled_picture_is_as_good_as_one_of_all_pixels(
    box: int, scale: int, decoded: list[decode.Decoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the sizes where there is least left to do for Lanczos."""
    recipe, data = Recipe(renditions=(RenditionSpec(name="large", box=box),)), baseline()
    scaled = render(data, recipe)
    assert decoded[0].image.width == 2400 // scale
    monkeypatch.setattr(decode, "_SCALES", ())
    whole = render(data, recipe)
    assert decoded[1].image.width == 2400
    assert qualities(scaled, data)["large"] > qualities(whole, data)["large"] - 0.1


@pytest.mark.parametrize(
    ("spare", "gone"),
    [
        (ALL, (5, 7, 8, 9)),
        ({1: 9, 2: 9, 3: 9, 4: 9}, (5, 7, 8, 9)),
        ({1: 1}, (9,)),
        ({1: 2, 2: 0}, (5, 9)),
        ({2: 1}, (8,)),
    ],
)
def test_a_refinement_that_can_be_spared_has_no_bits_and_all_else_is_there(
    spare: dict[int, int], gone: tuple[int, ...]
) -> None:
    shorter = without_refinements(photo(), spare)
    before, after = scans(photo()), scans(shorter)
    assert len(before) == len(after) == 10
    for number, ((begin, behind), (now, end)) in enumerate(zip(before, after, strict=True)):
        if number in gone:
            assert end == now + 10 < behind
            assert (
                photo()[begin : begin + 6] + photo()[begin + 7 : begin + 10]
                == shorter[now : now + 6] + shorter[now + 7 : end]
            )
        else:
            assert shorter[now:end] == photo()[begin:behind]
    assert len(without_refinements(photo(), ALL)) < len(photo()) / 2
    Image.open(BytesIO(shorter)).load()


def test_a_file_stays_as_it_is_where_no_bit_can_be_spared() -> None:
    for none in ({}, {1: 0, 2: 0, 3: 0}, {4: 2}):
        assert without_refinements(photo(), none) is photo()


def test_what_is_left_is_not_smoothed() -> None:
    """As libjpeg does, block by block, to a file that seems to be still under way."""
    cut = photo()[: scans(photo())[-1][0]] + b"\xff\xd9"
    whole, emptied, smoothed = (quarter(data) for data in (photo(), without_refinements(photo(), {1: 1}), cut))
    assert difference(emptied, whole) > difference(smoothed, whole) + 0.1


def test_no_bit_is_taken_for_one_where_there_is_none() -> None:
    """Where a scan refines a component that has nothing to refine, nothing changes."""
    flat = pictures.saved(Image.new("RGB", (2400, 1600), (200, 30, 90)), "JPEG", quality=90, progressive=True)
    shorter = without_refinements(flat, ALL)
    assert shorter is not flat
    assert quarter(shorter).tobytes() == quarter(flat).tobytes()


def test_restarts_make_no_difference() -> None:
    image = pictures.noisy(2400, 1600)
    plain, restarted = (
        pictures.saved(image, "JPEG", quality=92, progressive=True, restart_marker_blocks=blocks) for blocks in (0, 7)
    )
    assert b"\xff\xd3" in restarted
    assert b"\xff\xd3" not in plain
    found = [without_refinements(data, ALL) for data in (plain, restarted)]
    assert len(found[1]) < len(restarted) / 2
    assert quarter(found[0]).tobytes() == quarter(found[1]).tobytes()


def quarter(data: bytes) -> Image.Image:
    """What a decoder makes of it at a quarter of its size."""
    image = Image.open(BytesIO(data))
    image.draft(None, (600, 400))
    assert image.size == (600, 400)
    return image.convert("RGB")


SUBSAMPLED = [(1, 2, 2, 0), (2, 1, 1, 1), (3, 1, 1, 1)]


@pytest.mark.parametrize(
    ("steps", "scale", "expected"),
    [
        ((2, 4), 2, (1, 0)),
        ((2, 4), 4, (2, 1)),
        ((2, 4), 8, (4, 2)),
        ((1, 1), 2, (1, 1)),
        ((3, 9), 2, (0, 0)),
        ((8, 9), 4, (1, 0)),
        ((9, 9), 4, (0, 0)),
    ],
)
def test_bits_are_spared_by_quantisation_and_scale(
    steps: tuple[int, int], scale: int, expected: tuple[int, int]
) -> None:
    tables = {number: [step] * 64 for number, step in enumerate(steps)}
    brightness, colour = expected
    assert spare_bits(SUBSAMPLED, tables, scale) == {1: brightness, 2: colour, 3: colour}


@pytest.mark.parametrize("place", [1, 2, 8, 9, 16])
def test_the_coarsest_of_the_low_frequencies_counts(place: int) -> None:
    """And neither the mean nor a higher frequency does."""
    table = [99] + [1] * 63
    table[63] = 99
    assert spare_bits([(7, 1, 1, 2)], {2: table}, 4) == {7: 3}
    table[place] = 3
    assert spare_bits([(7, 1, 1, 2)], {2: table}, 4) == {7: 1}


@pytest.mark.parametrize("layers", [[], [(1, 0, 0, 0)], [(1, 1, 1, 3)], [(1, 2, 2, 0), (1, 1, 1, 0)]])
def test_nothing_that_a_damaged_frame_says_is_an_error(layers: list[tuple[int, int, int, int]]) -> None:
    """It is for the decoder to say."""
    for scale in (2, 8):
        spare_bits(layers, {0: [0] * 64}, scale)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [(QUARTER, ALL), (HALF, {1: 1, 2: 0, 3: 0}), (WHOLE, None)],
    ids=["quarter", "half", "whole"],
)
def test_refinements_are_left_out_where_the_picture_is_decoded_smaller(
    monkeypatch: pytest.MonkeyPatch, recipe: Recipe, expected: dict[int, int] | None
) -> None:
    asked = list[dict[int, int]]()
    monkeypatch.setattr(decode, "without_refinements", lambda data, spare: asked.append(spare) or data)
    render(photo(), recipe)
    render(pictures.large_jpeg(6000, 4000), recipe)  # not progressive
    assert asked == ([] if expected is None else [expected])


def difference(one: Image.Image, other: Image.Image) -> float:
    """PSNR in dB."""
    statistics = ImageStat.Stat(ImageChops.difference(one, other))
    return 10 * math.log10(255**2 * sum(statistics.count) / sum(statistics.sum2))


def qualities(rendered: Rendered, data: bytes) -> dict[str, float]:
    """How near each picture is to what the whole file gives at full size."""
    full = Image.open(BytesIO(data)).convert("RGB")
    found = {}
    for one in rendered.renditions:
        image = Image.open(BytesIO(one.data))
        found[one.name] = difference(image, full.resize(image.size, Image.Resampling.LANCZOS))
    return found


@pytest.mark.parametrize("recipe", [HALF, QUARTER], ids=["half", "quarter"])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_no_picture_loses_a_tenth_of_a_decibel(
    monkeypatch: pytest.MonkeyPatch, recipe: Recipe, subsampling: str
) -> None:
    """Whatever its quality: where a bit would be missed, it is decoded."""
    image, shorter = pictures.noisy(2400, 1600), 0
    for quality in (60, 75, 80, 85, 88, 90, 92, 95, 98):
        data = pictures.saved(image, "JPEG", quality=quality, progressive=True, subsampling=subsampling)
        with monkeypatch.context() as patch:
            patch.setattr(decode, "without_refinements", lambda data, _: data)
            whole = qualities(render(data, recipe), data)
        found = qualities(render(data, recipe), data)
        shorter += found != whole
        for name, value in whole.items():
            assert 30 < value < found[name] + 0.1, (quality, name)
    assert shorter >= 3


def verdict(data: bytes) -> Any:
    """READY, or why not, at an eighth of the size of what is damaged."""
    try:
        render(data, Recipe(renditions=(RenditionSpec(name="small", box=64),)))
    except RefusedError as refused:
        return refused.code
    return "ready"


@cache
def damages() -> dict[str, bytes]:
    """What can befall the scans that are left out, and what stands around them."""
    data = pictures.saved(pictures.noisy(800, 600), "JPEG", quality=92, progressive=True)
    found, random = dict[str, bytes](), Random(5)
    for number in (5, 7, 9):
        scan, behind = scans(data)[number]
        table = data.rindex(b"\xff\xc4", 0, scan)
        for share in (0, 0.3, 0.999):
            found[f"{number} cut at {share}"] = data[: scan + 10 + int(share * (behind - scan - 10))]
        for at in (*range(table, table + 5), *range(scan, scan + 10)):
            for byte in (0, 7, 0xFF):
                found[f"{number}, {at - scan}: {byte:02x}"] = data[:at] + bytes((byte,)) + data[at + 1 :]
        for marker in (0x01, 0xC0, 0xC2, 0xC4, 0xD0, 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xE0, 0xFE):
            at = random.randrange(scan + 10, behind)
            found[f"{number}, {marker:02x} within"] = data[:at] + bytes((0xFF, marker)) + data[at:]
        for one in (
            b"\xff\xc2\0\2",
            b"\xff\xfe\0\4ab",
            b"\xff\xda\0\2",
            b"\xff\xc4\0\3\0",
            b"\xff\xdb\0\3\1",
            b"ab",
            b"\xff",
        ):
            found[f"{number}, {one!r} behind"] = data[:behind] + one + data[behind:]
    return found | {"no end": data[:-2], "more behind the end": data + data}


@pytest.mark.parametrize("name", damages())
def test_the_verdict_on_a_damaged_file_is_that_of_a_decoder_that_saw_it_all(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    data = damages()[name]
    found = verdict(data)
    monkeypatch.setattr(decode, "without_refinements", lambda data, _: data)
    assert found == verdict(data)


def test_a_file_that_is_no_orderly_row_of_segments_is_left_whole() -> None:
    data, scan = photo(), scans(photo())[-1][0]
    for damaged in (
        data[:-2],
        data[:-2] + b"\xff\xfe\0\4ab\xff\xd9",
        data[:scan] + b"\0" + data[scan:],
        data[:2] + b"\xff\xfe\0\2" * 1000 + data[2:],
        data[: data.index(b"\xff\xda") + 1000],
        b"\xff\xd8\xff",
    ):
        assert without_refinements(damaged, ALL) is damaged


@pytest.mark.parametrize("number", [5, 7, 8, 9])
def test_a_scan_stays_that_begins_in_any_other_way(number: int) -> None:
    data, (scan, behind) = photo(), scans(photo())[number]
    assert data[scan:behind] not in without_refinements(data, ALL)
    for place in range(scan + 2, scan + 10):
        damaged = data[:place] + bytes((data[place] ^ 4,)) + data[place + 1 :]
        assert damaged[scan:behind] in without_refinements(damaged, ALL), place - scan


def test_a_scan_stays_where_a_later_one_refines_what_it_refines() -> None:
    """The last of brightness is none that is known: then the one before it is needed."""
    data, (scan, _) = photo(), scans(photo())[9]
    kept = scans(damaged := data[: scan + 8] + b"\x3e" + data[scan + 9 :])
    shorter = without_refinements(damaged, ALL)
    for number in (5, 9):
        assert damaged[slice(*kept[number])] in shorter


def test_codes_of_another_kind_are_left_alone() -> None:
    """Arithmetic ones, those of a file without such scans, and one that needs the table that the empty scans have."""
    data, (scan, _) = photo(), scans(photo())[3]
    arithmetic = data[: (frame := data.index(b"\xff\xc2"))] + b"\xff\xca" + data[frame + 2 :]
    slot = data[: scan + 6] + b"\x03" + data[scan + 7 :]
    for other in (arithmetic, slot, baseline(), pictures.oriented(1)):
        assert without_refinements(other, ALL) is other
