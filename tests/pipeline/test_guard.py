"""The guard: what is refused, with which code, before anything is decoded."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from random import Random
from time import process_time

import pictures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from image_pipeline import renditions
from image_pipeline.guard import inspect
from image_pipeline.headers import check_tiff
from image_pipeline.record import Refusal, RefusedError
from image_pipeline.renditions import render
from image_pipeline.settings import INPUT_FORMATS, Limits, Recipe
from image_pipeline.sniff import image_format

EVERYTHING = Recipe(formats=INPUT_FORMATS)


def refusal(data: bytes, recipe: Recipe = EVERYTHING) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        inspect(data, recipe)
    return caught.value


@pytest.mark.parametrize("name", pictures.BAD)
def test_a_bad_file_is_refused_with_its_code(name: str) -> None:
    bad = pictures.BAD[name]
    with pytest.raises(RefusedError) as caught:
        render(bad.make(), replace(Recipe(), formats=(*Recipe().formats, *bad.formats)))
    assert caught.value.code is bad.refusal


@pytest.mark.parametrize("name", pictures.SLOW)
def test_no_file_keeps_a_worker_busy(name: str) -> None:
    data = pictures.SLOW[name]()
    assert len(data) <= Limits().max_bytes
    started = process_time()
    with suppress(RefusedError):
        render(data, Recipe())
    assert process_time() - started < 5


def test_a_refusal_names_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a decoder, or a reader of ours, raised stays visible to whoever logs the refusal."""
    data = pictures.saved(pictures.scene(60, 40), "JPEG")
    monkeypatch.setattr(renditions, "exif_facts", lambda _: {}["missing"])
    with pytest.raises(RefusedError) as caught:
        render(data, Recipe())
    assert caught.value.code is Refusal.CORRUPT
    assert isinstance(caught.value.__cause__, KeyError)

    def out_of_memory(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(renditions, "exif_facts", out_of_memory)
    with pytest.raises(MemoryError):
        render(data, Recipe())


@pytest.mark.parametrize("name", pictures.GOOD)
def test_size_frames_and_format_are_read_without_decoding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    good = pictures.GOOD[name]
    data = good.make()
    monkeypatch.setattr(Image, "_getdecoder", lambda *_: pytest.fail("the guard decoded"))
    sniffed = inspect(data, EVERYTHING)
    stored = (sniffed.width, sniffed.height)
    assert sorted(stored) == sorted((good.width, good.height))
    assert (sniffed.format, sniffed.frames) == (good.format, good.frames)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (pictures.SVG, "SVG"),
        (b"\n <!DOCTYPE html><html>", "HTML"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "MP4"),
        (b"PK\x03\x04....", "ZIP"),
        ("Grüße, 你好\n".encode() * 900, "plain text"),
        (b"BM is not always a bitmap", "plain text"),
    ],
)
def test_a_refusal_names_what_the_file_is(data: bytes, says: str) -> None:
    error = refusal(data)
    assert error.code is Refusal.UNSUPPORTED_TYPE
    assert says in error.detail


def test_a_format_that_is_off_says_how_to_switch_it_on() -> None:
    assert "add it to formats" in refusal(pictures.saved(pictures.scene(9, 9), "TIFF"), Recipe()).detail


def test_avif_is_known_by_a_compatible_brand_too() -> None:
    assert image_format(b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif") == "avif"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_limits_are_inclusive_in_every_format(form: str) -> None:
    data = pictures.saved(pictures.scene(60, 40), form)

    def within(**limits: int) -> Recipe:
        return replace(EVERYTHING, limits=replace(Limits(), **limits))

    for limits in ({"max_pixels": 2400}, {"max_side": 60}, {"max_bytes": len(data)}):
        inspect(data, within(**limits))
    assert refusal(data, within(max_pixels=2399)).code is Refusal.TOO_MANY_PIXELS
    assert refusal(data, within(max_side=59)).code is Refusal.TOO_MANY_PIXELS
    assert refusal(data, within(max_bytes=len(data) - 1)).code is Refusal.TOO_LARGE
    assert refusal(data, within(memory=2400)).code is Refusal.TOO_MANY_PIXELS


def test_a_progressive_jpeg_is_known_to_take_more_memory() -> None:
    def recipe(memory: int) -> Recipe:
        return replace(EVERYTHING, limits=Limits(memory=memory))

    image, pixels = pictures.scene(100, 100), 10_000
    inspect(pictures.saved(image, "JPEG"), recipe(5 * pixels))
    small = pictures.saved(image, "JPEG", progressive=True, subsampling="4:2:0")
    full = pictures.saved(image, "JPEG", progressive=True, subsampling="4:4:4")
    assert refusal(small, recipe(5 * pixels)).code is Refusal.TOO_MANY_PIXELS
    inspect(small, recipe(8 * pixels))
    assert refusal(full, recipe(8 * pixels)).code is Refusal.TOO_MANY_PIXELS


@pytest.mark.parametrize("scans", [10, 100, 101])
def test_scans_are_counted_exactly(scans: int) -> None:
    data = pictures.many_scans(scans, side=64)
    if scans > 100:
        assert refusal(data).code is Refusal.TOO_MANY_SCANS
    else:
        inspect(data, EVERYTHING)
    # A second picture behind the first, as in an MPO, has scans of its own that nobody decodes.
    if scans == 100:
        inspect(data * 3, EVERYTHING)


def test_scan_markers_in_metadata_are_not_scans() -> None:
    data = pictures.saved(pictures.scene(60, 40), "JPEG", progressive=True, comment=b"\xff\xda" * 500)
    inspect(data, EVERYTHING)


def test_a_baseline_jpeg_is_not_searched_for_scans() -> None:
    """Nothing behind its one scan is decoded, and the search would cost more than the resize."""

    class Counted(bytes):
        def count(self, *_: object) -> int:
            raise AssertionError

    inspect(Counted(pictures.saved(pictures.scene(), "JPEG")), EVERYTHING)


def test_12_bit_jpeg_is_unsupported_rather_than_corrupt() -> None:
    data = bytearray(pictures.saved(pictures.scene(16, 16), "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    assert refusal(bytes(data)).code is Refusal.UNSUPPORTED_TYPE


@pytest.mark.parametrize(("place", "value"), [(28, 2), (30, 6)], ids=["2 bits a pixel", "packed in an unknown way"])
def test_a_variant_that_the_decoder_lacks_is_unsupported_rather_than_corrupt(place: int, value: int) -> None:
    data = bytearray(pictures.saved(pictures.scene(16, 16), "BMP"))
    data[place] = value
    assert refusal(bytes(data)).code is Refusal.UNSUPPORTED_TYPE


def test_frames_of_a_gif_are_counted_without_decoding_them() -> None:
    assert inspect(pictures.gif_of_frames(100_000), EVERYTHING).frames == 100_000


def test_a_huge_gif_animation_renders_its_first_frame_alone() -> None:
    rendered = render(pictures.gif_of_frames(100_000), Recipe())
    assert (rendered.width, rendered.frames) == (64, 100_000)


def test_frames_of_webp_and_apng_are_counted() -> None:
    frames = [pictures.scene(30, 20), pictures.scene(30, 20, pictures.GREYS)]
    for form in ("WEBP", "PNG", "AVIF"):
        data = pictures.saved(frames[0], form, save_all=True, append_images=frames[1:])
        assert inspect(data, EVERYTHING).frames == 2, form


def test_damaged_metadata_never_costs_a_picture() -> None:
    width = 90
    broken = [
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\1\x12\0\3\0\0\0\1\0\x09\0\0" * 40,
    ]
    for exif in broken:
        for form in ("JPEG", "WEBP", "PNG"):
            rendered = render(pictures.saved(pictures.scene(width, 60), form, exif=exif), Recipe())
            assert (rendered.width, rendered.exif) == (width, {})
    for icc in (b"no profile", pictures.DISPLAY_P3[:200], pictures.DISPLAY_P3.replace(b"acsp", b"xxxx"), bytes(5000)):
        data = pictures.saved(pictures.scene(width, 60), "JPEG", icc_profile=icc)
        rendered = render(data, Recipe())
        assert Image.open(BytesIO(rendered.renditions[0].data)).info.get("icc_profile") is None
        assert any("passed over" in note for note in rendered.notes)


@pytest.mark.parametrize(
    "chunk",
    [
        pictures.chunk(b"gAMA", b"\0"),
        pictures.chunk(b"iCCP", b"name\0\x09" + zlib.compress(b"x")),
        pictures.chunk(b"zTXt", b"key\0\x09x"),
        pictures.chunk(b"tEXt", b"transparency\0no"),
        pictures.chunk(b"tEXt", b"icc_profile\0text"),
        pictures.chunk(b"tEXt", b"Comment\0text")[:-4] + b"\0\0\0\0",
    ],
    ids=["short gamma", "unknown profile packing", "unknown text packing", "transparency", "profile", "checksum"],
)
def test_a_damaged_chunk_of_a_png_never_costs_its_pixels(chunk: bytes) -> None:
    assert render(pictures.png(80, 40, chunk), Recipe()).width == 80


@pytest.mark.parametrize("name", ["PNG", "orientation 1", "WebP", "animated GIF", "AVIF", "TIFF", "BMP"])
@settings(deadline=None)  # a busy machine is no finding
@given(cut=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=6))
def test_no_damage_makes_anything_but_a_refusal(name: str, cut: float, flips: list[tuple[float, int]]) -> None:
    data = bytearray(_small(name))
    for place, value in flips:
        data[min(int(place * len(data)), len(data) - 1)] ^= value
    small = replace(EVERYTHING, limits=Limits(max_pixels=1_000_000))
    with suppress(RefusedError):
        render(bytes(data[: round(cut * len(data))] if len(flips) % 2 else data), small)


@pytest.mark.parametrize("name", ["PNG", "orientation 1", "progressive JPEG", "WebP", "animated GIF"])
def test_a_thousand_wrecks_are_refused_or_rendered_quickly(name: str) -> None:
    """Bytes flipped, parts lost, doubled and moved, lengths that lie: always the same ones."""
    random, data = Random(name), _small(name)
    for _ in range(200):
        wreck = pictures.wrecked(data, random)
        started = process_time()
        with suppress(RefusedError):
            render(wreck, Recipe())
        assert process_time() - started < 5, wreck.hex()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["classic", "BigTIFF"])
def test_a_tiff_is_refused_for_its_directory_before_a_reader_sees_it(order: str, big: bool) -> None:
    assert refusal(pictures.tiff_of({273: (4, 12_000_000, 8)}, order, big)).code is Refusal.METADATA_TOO_LARGE
    tile = {322: (3, 1, 60_000), 323: (4, 1, 60_000)}
    assert refusal(pictures.tiff_of(tile, order, big)).code is Refusal.TOO_MANY_PIXELS
    check_tiff(pictures.tiff_of({34675: (7, 500_000, 8)}, order, big), 1)  # a profile is one value to its reader


_MADE: dict[str, bytes] = {}


def _small(name: str) -> bytes:
    if name not in _MADE:
        image = pictures.scene(48, 32)
        form = {"orientation 1": "JPEG", "progressive JPEG": "JPEG", "animated GIF": "GIF"}.get(name, name.upper())
        _MADE[name] = pictures.saved(
            image, form, progressive=name == "progressive JPEG", icc_profile=pictures.ADOBE_RGB
        )
    return _MADE[name]


def test_an_avif_whose_boxes_end_early_is_truncated() -> None:
    data = pictures.saved(Image.effect_noise((300, 200), 80).convert("RGB"), "AVIF", quality=90)
    with pytest.raises(RefusedError) as caught:
        render(data[: len(data) // 2], EVERYTHING)
    assert caught.value.code is Refusal.TRUNCATED


def test_the_killers_are_real() -> None:
    """Each of them is a valid file of its format, so that the refusal is the guard's and not an accident."""
    with Image.open(BytesIO(pictures.png(300, 5000, colour=6))) as image:
        assert image.convert("RGBA").getextrema() == ((0, 0),) * 4
    with Image.open(BytesIO(pictures.webp_claiming(90, 50))) as image:
        image.load()
        assert image.size == (90, 50)
    data = pictures.many_scans(50, side=64)
    with JpegImagePlugin.JpegImageFile(BytesIO(data)) as image:
        image.load()
    assert data.count(b"\xff\xda") == 50
    assert len(pictures.webp_claiming()) == 34


PEAK = """
import pathlib
status = pathlib.Path("/proc/self/status").read_text()
print(1024 * int(status.split("VmHWM:")[1].split()[0]))
"""

KILLERS = """
from dataclasses import replace
import pictures
from image_pipeline.record import RefusedError
from image_pipeline.renditions import render
from image_pipeline.settings import Recipe

for name, bad in pictures.BAD.items():
    try:
        render(bad.make(), replace(Recipe(), formats=(*Recipe().formats, *bad.formats)))
    except RefusedError as error:
        assert error.code is bad.refusal, name
    else:
        raise AssertionError(name)
assert render(pictures.oriented(6), Recipe()).width == 1200
"""


def peak_memory(script: str) -> int:
    """Bytes that a new process held at most while it ran `script`."""
    command = [sys.executable, "-c", script + PEAK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": "tests"})
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")


@needs_proc
def test_one_process_survives_all_killers_within_a_gigabyte() -> None:
    assert peak_memory(KILLERS) < 300_000_000


RENDER = """
import pictures
from image_pipeline.renditions import render
from image_pipeline.settings import Recipe
render({}, Recipe())
"""


@needs_proc
def test_the_largest_webp_stays_within_the_memory_it_is_granted() -> None:
    """The format whose decoders take most, at nearly the pixels that the default limits let in."""
    assert peak_memory(RENDER.format("pictures.animated_webp_claiming(6400, 6400)")) < 850_000_000
    assert peak_memory(RENDER.format("pictures.webp_claiming(8000, 6200)")) < 600_000_000


@needs_proc
def test_a_large_png_is_never_in_memory_at_full_size() -> None:
    """50 MP would be 200 MB of pixels; Python, Pillow, one band and the picture at its final width are what is left."""
    assert peak_memory(RENDER.format("pictures.png(10_000, 5_000, colour=2)")) < 130_000_000


@needs_proc
def test_a_large_jpeg_is_never_in_memory_at_full_size() -> None:
    """50 MP would be 200 MB; Python, Pillow and the picture at an eighth are what is left."""
    assert peak_memory(RENDER.format("pictures.large_jpeg()")) < 90_000_000


def test_segments_of_a_jpeg_are_not_read_for_ever() -> None:
    tail = pictures.saved(pictures.scene(60, 40), "JPEG")[2:]
    assert refusal(b"\xff\xd8" + b"\xff\xe1\0\x04ab" * 150_000 + tail).code is Refusal.METADATA_TOO_LARGE
    assert refusal(b"\xff\xd8\xff" + b"\xff" * 100_000 + tail).code is Refusal.CORRUPT
    assert refusal(b"GIF89a" + struct.pack("<2H3B", 9, 9, 0, 0, 0) + b"!\xfe\x01a\x00" * 60_000).code is (
        Refusal.METADATA_TOO_LARGE
    )
