"""JPEG scales and scans: how little is decoded, and that nobody can tell."""

from __future__ import annotations

import math
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
from image_pipeline.scans import without_last_refinement
from image_pipeline.settings import Limits, Recipe, RenditionSpec

QUARTER = Recipe(
    renditions=(RenditionSpec(name="large", box=440), RenditionSpec(name="small", box=128)),
    thumbnail=RenditionSpec(name="square", box=64, fit="cover"),
)
"""What is made of `photo` when it is decoded at a quarter of its size."""

HALF = Recipe(renditions=(RenditionSpec(name="large", box=1024),))


@cache
def photo() -> bytes:
    return pictures.saved(pictures.noisy(2400, 1600), "JPEG", quality=90, progressive=True)


@cache
def baseline() -> bytes:
    return pictures.saved(pictures.noisy(2400, 1600), "JPEG", quality=90)


@cache
def last_scan() -> int:
    return photo().rindex(b"\xff\xda")


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


def test_the_last_refinement_is_left_out_and_the_rest_is_a_whole_file() -> None:
    shorter = without_last_refinement(photo())
    assert shorter.startswith(photo()[: last_scan()])
    assert shorter.endswith(photo()[last_scan() : last_scan() + 10] + b"\xff\xd9")
    assert len(shorter) < 0.8 * len(photo())
    Image.open(BytesIO(shorter)).load()


def test_what_is_left_is_not_smoothed() -> None:
    """As libjpeg does, block by block, to a file that seems to be still under way."""
    whole, emptied, cut = (
        quarter(data) for data in (photo(), without_last_refinement(photo()), photo()[: last_scan()] + b"\xff\xd9")
    )
    assert difference(emptied, whole) > difference(cut, whole) + 0.1


def test_no_bit_of_the_last_scan_is_taken_for_one() -> None:
    """Where it refines a component that has nothing to refine, nothing changes."""
    flat = pictures.saved(Image.new("RGB", (2400, 1600), (200, 30, 90)), "JPEG", quality=90, progressive=True)
    shorter = without_last_refinement(flat)
    assert shorter is not flat
    assert quarter(shorter).tobytes() == quarter(flat).tobytes()


def quarter(data: bytes) -> Image.Image:
    """What a decoder makes of it at a quarter of its size."""
    image = Image.open(BytesIO(data))
    image.draft(None, (600, 400))
    assert image.size == (600, 400)
    return image.convert("RGB")


@pytest.mark.parametrize(("recipe", "expected"), [(QUARTER, 1), (HALF, 0)], ids=["quarter", "half"])
def test_it_is_left_out_where_a_quarter_of_the_size_or_less_is_decoded(
    monkeypatch: pytest.MonkeyPatch, recipe: Recipe, expected: int
) -> None:
    asked = list[bytes]()
    monkeypatch.setattr(decode, "without_last_refinement", lambda data: asked.append(data) or data)
    render(photo(), recipe)
    render(pictures.large_jpeg(6000, 4000), recipe)  # not progressive
    assert len(asked) == expected


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


def test_no_picture_loses_a_tenth_of_a_decibel(monkeypatch: pytest.MonkeyPatch) -> None:
    without = qualities(render(photo(), QUARTER), photo())
    monkeypatch.setattr(decode, "without_last_refinement", lambda data: data)
    with_it = qualities(render(photo(), QUARTER), photo())
    assert without != with_it
    for name, quality in with_it.items():
        assert 30 < quality < without[name] + 0.1, name


def verdict(data: bytes) -> Any:
    """READY, or why not."""
    try:
        render(data, QUARTER)
    except RefusedError as refused:
        return refused.code
    return "ready"


def cut_within(share: float) -> bytes:
    return photo()[: last_scan() + 10 + int(share * (len(photo()) - last_scan() - 10))]


def damages() -> dict[str, bytes]:
    """What can befall the scan that is left out, and what stands around it."""
    data, scan = photo(), last_scan()
    table = data.rindex(b"\xff\xc4", 0, scan)
    found = {f"cut at {share}": cut_within(share) for share in (0, 0.3, 0.999)}
    for at in range(table, scan + 10):
        if at < table + 5 or at >= scan:
            found |= {f"{at - scan}: {byte:02x}": data[:at] + bytes((byte,)) + data[at + 1 :] for byte in (0, 7, 0xFF)}
    random = Random(5)
    for marker in (0x01, 0xC0, 0xC2, 0xC4, 0xD0, 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xE0, 0xFE):
        at = random.randrange(scan + 10, len(data))
        found[f"{marker:02x} within"] = data[:at] + bytes((0xFF, marker)) + data[at:]
    end = len(data) - 2
    behind = (b"\xff\xc2\0\2", b"\xff\xfe\0\4ab", b"\xff\xda\0\2", b"\xff\xc4\0\3\0", b"\xff\xdb\0\3\1", b"ab", b"\xff")
    found |= {f"{one!r} behind": data[:end] + one + data[end:] for one in behind}
    return found | {"no end": data[:end], "more behind the end": data + data}


@pytest.mark.parametrize("name", damages())
def test_the_verdict_on_a_damaged_file_is_that_of_a_decoder_that_saw_it_all(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    data = damages()[name]
    found = verdict(data)
    monkeypatch.setattr(decode, "without_last_refinement", lambda data: data)
    assert found == verdict(data)


def test_a_file_that_is_no_orderly_row_of_segments_is_left_whole() -> None:
    data, scan = photo(), last_scan()
    for damaged in (
        data[:-2],
        data[:-2] + b"\xff\xfe\0\4ab\xff\xd9",
        data[:scan] + b"\0" + data[scan:],
        data[:2] + b"\xff\xfe\0\2" * 1000 + data[2:],
        data[: data.index(b"\xff\xda") + 1000],
        b"\xff\xd8\xff",
    ):
        assert without_last_refinement(damaged) is damaged


def test_any_other_last_scan_is_left_in() -> None:
    data, scan = photo(), last_scan()
    for place in range(scan + 2, scan + 10):
        damaged = data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]
        assert without_last_refinement(damaged) is damaged, place - scan
    arithmetic = data[: (frame := data.index(b"\xff\xc2"))] + b"\xff\xca" + data[frame + 2 :]
    assert without_last_refinement(arithmetic) is arithmetic
    baseline = pictures.oriented(1)
    assert without_last_refinement(baseline) is baseline
