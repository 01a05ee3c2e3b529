"""Renditions: the right sizes, upright, in the right colours, and nothing in them but the picture."""

from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import replace
from io import BytesIO

import pictures
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageCms, ImageStat, JpegImagePlugin

from image_pipeline import renditions
from image_pipeline.colour import MAX_EMBEDDED, read_profile
from image_pipeline.geometry import centre_square, covering, inside
from image_pipeline.icc import parametric, write_profile
from image_pipeline.renditions import Picture, Rendered, render
from image_pipeline.settings import INPUT_FORMATS, Recipe, RenditionSpec

EVERYTHING = Recipe(formats=INPUT_FORMATS)
PUBLIC = ("jpeg", "webp", "avif")
PROFILES = {"Display P3": pictures.DISPLAY_P3, "Adobe RGB": pictures.ADOBE_RGB}


def only(*specs: RenditionSpec, thumbnail: RenditionSpec | None = None) -> Recipe:
    return Recipe(renditions=specs, thumbnail=thumbnail, formats=INPUT_FORMATS)


def opened(picture: Picture) -> Image.Image:
    image = Image.open(BytesIO(picture.data))
    image.load()
    assert image.size == (picture.width, picture.height)
    assert image.format == picture.format.upper()
    return image


def all_pictures(rendered: Rendered) -> list[Picture]:
    return [*rendered.renditions, *([rendered.thumbnail] if rendered.thumbnail else [])]


@pytest.fixture(scope="module")
def rendered() -> dict[str, Rendered]:
    return {name: render(good.make(), EVERYTHING) for name, good in pictures.GOOD.items()}


@pytest.mark.parametrize("name", pictures.GOOD)
def test_every_picture_has_its_size_and_every_box(name: str, rendered: dict[str, Rendered]) -> None:
    good, got = pictures.GOOD[name], rendered[name]
    assert (got.format, got.width, got.height, got.frames) == (good.format, good.width, good.height, good.frames)
    assert [one.name for one in got.renditions] == ["1024", "512", "128"]
    for picture in got.renditions:
        assert (picture.width, picture.height) == inside((good.width, good.height), int(picture.name))
        opened(picture)
    large = max(good.width, good.height) >= 1024
    assert (got.thumbnail is not None) == large
    if got.thumbnail:
        assert opened(got.thumbnail).size == (64, 64)


@pytest.mark.parametrize("name", [name for name, good in pictures.GOOD.items() if good.corners])
def test_every_picture_is_upright_and_in_its_colours(name: str, rendered: dict[str, Rendered]) -> None:
    good = pictures.GOOD[name]
    for picture in all_pictures(rendered[name]):
        assert pictures.strangest_corner(opened(picture), good) <= good.tolerance, picture.name


@pytest.mark.parametrize("name", [name for name, good in pictures.GOOD.items() if good.alpha])
def test_transparency_is_kept_where_the_format_has_it(name: str, rendered: dict[str, Rendered]) -> None:
    for picture in rendered[name].renditions:
        image = opened(picture).convert("RGBA")
        assert image.getpixel((image.width // 2, image.height // 2))[3] == 0  # type: ignore[index]
        assert image.getpixel((2, 2))[3] == 255  # type: ignore[index]


@pytest.mark.parametrize("name", [name for name, good in pictures.GOOD.items() if good.alpha])
def test_transparency_is_laid_on_white_in_jpeg(name: str) -> None:
    got = render(pictures.GOOD[name].make(), only(RenditionSpec(name="a", box=600, format="jpeg")))
    image = opened(got.renditions[0]).convert("RGB")
    assert min(image.getpixel((image.width // 2, image.height // 2))) >= 252  # type: ignore[type-var, arg-type]
    assert "Transparency is laid on white in JPEG." in got.notes


def test_colours_under_transparency_do_not_bleed_into_edges() -> None:
    """Straight alpha would mix the invisible red into the green of the edge."""
    image = Image.new("RGBA", (400, 400), (255, 0, 0, 0))
    image.paste((0, 255, 0, 255), (0, 0, 200, 400))
    got = render(pictures.saved(image, "PNG"), only(RenditionSpec(name="a", box=101)))
    small = opened(got.renditions[0])
    pixels = [small.getpixel((x, 50)) for x in range(small.width)]
    assert all(pixel[0] <= 3 for pixel in pixels if pixel[3] > 8)  # type: ignore[index]
    assert got.dominant_colour == "#00ff00"


def test_transparency_that_nothing_uses_is_dropped() -> None:
    image = pictures.scene(300, 200)
    image.putalpha(255)
    assert opened(render(pictures.saved(image, "PNG"), EVERYTHING).renditions[0]).mode == "RGB"


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    wide = Image.new("I;16", (300, 200), 40000)
    got = render(pictures.saved(wide, "PNG"), EVERYTHING)
    assert opened(got.renditions[0]).getpixel((0, 0)) == 156
    assert got.dominant_colour == "#9c9c9c"


@pytest.mark.parametrize(("mode", "value", "level"), [("I", 40000, 156), ("I", 200, 200), ("F", 0.5, 127)])
def test_wide_numbers_are_scaled_by_what_they_mean(mode: str, value: float, level: int) -> None:
    got = render(pictures.saved(Image.new(mode, (40, 30), value), "TIFF"), EVERYTHING)  # type: ignore[arg-type]
    assert abs(opened(got.renditions[0]).getpixel((9, 9)) - level) <= 2  # type: ignore[operator]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "LAB", "YCbCr", "I;16", "I", "F"])
def test_every_mode_a_tiff_can_have_is_rendered(mode: str) -> None:
    image = pictures.scene(120, 80)
    image = image.convert("L").convert(mode) if mode in ("I", "F", "I;16") else image.convert(mode)
    got = render(pictures.saved(image, "TIFF"), EVERYTHING)
    assert (got.width, got.height) == (120, 80)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation_is_followed_in_every_format(form: str, orientation: int) -> None:
    got = render(pictures.oriented(orientation, form, 120, 80), EVERYTHING)
    assert (got.width, got.height) == (120, 80)
    image = pictures.in_srgb(opened(got.renditions[0]))
    found = image.getpixel((10, 8))
    assert max(abs(a - b) for a, b in zip(found, pictures.CORNERS[0], strict=True)) <= 12  # type: ignore[arg-type]


@pytest.mark.parametrize("spec_format", ["keep", *PUBLIC])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_nothing_but_the_picture_is_in_an_output(form: str, spec_format: str) -> None:
    planted = pictures.everything_planted(form)
    assert pictures.MARKER in planted
    assert form == "GIF" or pictures.MARKER in Image.open(BytesIO(planted)).info["icc_profile"]
    specs = [RenditionSpec(name=str(box), box=box, format=spec_format) for box in (2000, 300)]  # type: ignore[arg-type]
    got = render(planted, only(*specs, thumbnail=replace(specs[1], name="t", fit="cover")))
    for picture in all_pictures(got):
        assert pictures.MARKER not in picture.data
        assert pictures.MARKER not in opened(picture).info.get("icc_profile", b"")  # packed in a PNG
        assert not {"exif", "xmp", "comment", "photoshop", "dpi", "Comment"} & set(opened(picture).info)
        for sign in (b"Exif", b"EXIF", b"eXIf", b"XMP", b"xmpmeta", b"tEXt", b"iTXt", b"GPS", b"pHYs"):
            assert sign not in picture.data or (sign in (b"Exif",) and picture.format == "avif")


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("spec_format", ["keep", *PUBLIC])
def test_a_small_profile_goes_into_every_output(name: str, spec_format: str) -> None:
    spec = RenditionSpec(name="a", box=400, format=spec_format)  # type: ignore[arg-type]
    got = render(pictures.GOOD[name].make(), only(spec))
    icc = opened(got.renditions[0]).info["icc_profile"]
    assert len(icc) <= MAX_EMBEDDED
    kept, original = read_profile(icc), read_profile(PROFILES[name])
    assert kept is not None
    assert original is not None
    assert (kept.space, kept.colorants) == (original.space, original.colorants)
    steps = [step / 20 for step in range(21)]
    assert [[one(step) for one in kept.curves] for step in steps] == [
        [one(step) for one in original.curves] for step in steps
    ]
    assert any(name in note for note in got.notes)


def test_grey_profile_is_kept_without_its_texts() -> None:
    tags = {b"desc": b"desc\0\0\0\0\0\0\0\x20" + pictures.MARKER, b"kTRC": b"curv\0\0\0\0\0\0\0\1\x01\xcd"}
    icc = pictures.raw_profile({**tags, b"wtpt": b"XYZ \0\0\0\0" + bytes(12)}, b"mntrGRAYXYZ ")
    image = Image.linear_gradient("L")
    picture = render(pictures.saved(image, "PNG", icc_profile=icc), EVERYTHING).renditions[0]
    kept = read_profile(opened(picture).info["icc_profile"])
    assert kept
    assert kept.curves[0](0.5) == 0.5 ** (0x1CD / 256)
    assert pictures.MARKER not in kept.data
    assert ImageCms.ImageCmsProfile(BytesIO(kept.data)).profile.xcolor_space == "GRAY"


@pytest.mark.parametrize(
    "curve",
    [
        parametric(32000.0, 60.0, 0.0),
        parametric(32000.0, 60.0, 1.0, -30000.0),
        parametric(0.0001, 0.0, 0.0, 0.0, 0.0),
        parametric(2.4, -1.0, -1.0, -1.0, 2.0, 30000.0, -30000.0),
        b"curv\0\0\0\0\0\0\0\1\0\0",
        b"curv\0\0\0\0\0\0\0\2" + b"\xff" * 4,
        b"curv\0\0\0\0\xff\xff\xff\xff",
        b"para\0\0\0\0\0\1\0\0",
    ],
)
def test_no_curve_is_too_strange(curve: bytes) -> None:
    icc = write_profile("Strange", pictures.ADOBE_RGB_COLORANTS, (curve,) * 3)
    assert render(pictures.saved(pictures.scene(60, 40), "JPEG", icc_profile=icc), EVERYTHING).width == 60


def test_profiles_of_strangers_do_not_fill_a_worker() -> None:
    """A curve of 1.9 million points is left to LittleCMS; what goes over a few megabytes is not even looked at."""
    script = """
import gc, tracemalloc, pictures
from image_pipeline.colour import interpret
wide = pictures.wide_curve()
tracemalloc.start()
for n in range(6):
    treatment = interpret(wide + bytes([n]), "RGB")
    assert treatment.source and not treatment.embed
    assert not interpret(bytes(20_000_000) + bytes([n]), "RGB").source
del treatment
gc.collect()
assert tracemalloc.get_traced_memory()[0] < 1_000_000
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": "tests"})
    assert done.returncode == 0, done.stderr


def test_srgb_by_any_name_is_dropped() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    got = render(pictures.saved(pictures.scene(), "JPEG", icc_profile=srgb), EVERYTHING)
    assert "icc_profile" not in opened(got.renditions[0]).info
    assert got.notes == ()


def test_a_large_rgb_profile_is_converted_to_srgb() -> None:
    points = [round(65535 * (n / 4095) ** 2.2) for n in range(4096)]
    curve = b"curv\0\0\0\0" + struct.pack(">I4096H", len(points), *points)
    large = write_profile("Large", pictures.ADOBE_RGB_COLORANTS, (curve,) * 3)
    data = pictures.GOOD["Adobe RGB"].make()
    with Image.open(BytesIO(data)) as image:
        data = pictures.saved(image, "JPEG", quality=95, icc_profile=large)
    got = render(data, EVERYTHING)
    image = opened(got.renditions[0])
    assert "icc_profile" not in image.info
    found = image.getpixel((60, 60))
    assert max(abs(a - b) for a, b in zip(found, pictures.CORNERS[0], strict=True)) <= 12  # type: ignore[arg-type]


def test_a_cmyk_profile_is_used_after_the_resize() -> None:
    data = pictures.GOOD["CMYK JPEG with a profile"].make()
    got = render(data, EVERYTHING)
    with Image.open(BytesIO(data)) as stored:
        expected = ImageCms.profileToProfile(
            stored,
            ImageCms.ImageCmsProfile(BytesIO(pictures.cmyk_profile())),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    assert expected is not None
    image = opened(got.renditions[0])
    for place in ((100, 100), (900, 100), (900, 600), (100, 600)):
        found, right = image.getpixel(place), expected.getpixel((place[0] * 1200 // 1024, place[1] * 1200 // 1024))
        assert max(abs(a - b) for a, b in zip(found, right, strict=True)) <= 8  # type: ignore[arg-type]


@pytest.mark.parametrize("colour", [(220, 40, 40), (40, 180, 60), (128, 128, 128), (250, 250, 250), (5, 5, 5)])
@pytest.mark.parametrize("icc", [pictures.DISPLAY_P3, pictures.ADOBE_RGB], ids=["Display P3", "Adobe RGB"])
def test_the_dominant_colour_is_in_srgb(icc: bytes, colour: pictures.RGB) -> None:
    flat = Image.new("RGB", (90, 60), colour)
    wide = ImageCms.profileToProfile(flat, ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(BytesIO(icc)))
    assert wide is not None
    got = render(pictures.saved(wide, "PNG", icc_profile=icc), EVERYTHING).dominant_colour
    found = tuple(int(got[at : at + 2], 16) for at in (1, 3, 5))
    assert max(abs(a - b) for a, b in zip(found, colour, strict=True)) <= 3


def test_a_large_cover_is_decoded_at_the_scale_its_short_side_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    original = renditions.lanczos
    monkeypatch.setattr(renditions, "lanczos", lambda image, *rest: sizes.append(image.size) or original(image, *rest))
    data = pictures.saved(Image.new("L", (8192, 2048), 90), "JPEG")
    got = render(data, only(RenditionSpec(name="a", box=512, fit="cover"), RenditionSpec(name="b", box=512)))
    assert [(one.width, one.height) for one in got.renditions] == [(512, 512), (512, 128)]
    assert sizes == [(4096, 1024), (4096, 1024)]


def test_each_picture_is_made_from_the_smallest_that_is_twice_as_large(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[tuple[int, int], tuple[int, int]]] = []
    original = renditions.lanczos
    monkeypatch.setattr(
        renditions,
        "lanczos",
        lambda image, size, *rest: steps.append((image.size, size)) or original(image, size, *rest),
    )
    render(pictures.saved(pictures.scene(4000, 3000), "JPEG"), EVERYTHING)
    assert steps == [
        ((2000, 1500), (1024, 768)),
        ((1024, 768), (512, 384)),
        ((512, 384), (128, 96)),
        ((512, 384), (64, 64)),  # 128 would be no more than a third larger
    ]


def test_the_same_pixels_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    saves: list[object] = []
    original = JpegImagePlugin._save
    monkeypatch.setitem(Image.SAVE, "JPEG", lambda *all_: saves.append(all_[0].size) or original(*all_))
    got = render(pictures.saved(pictures.scene(100, 80), "JPEG"), EVERYTHING)
    assert saves == [(100, 80), (100, 80)]  # the source itself, and one output
    assert len({id(one.data) for one in got.renditions}) == 1


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "AVIF", "MPO", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_encoders_never_see_a_second_frame(form: str, mode: str) -> None:
    """Pillow's AVIF encoder looks at all frames of an image that has some; the guard looked at the first alone."""
    frames = [Image.new(mode, (60, 40), colour) for colour in ("red", "black")]
    if mode == "RGBA" and form != "MPO":
        frames[0].putpixel((30, 20), (0, 0, 0, 0))
    elif mode == "RGBA":
        frames = [frame.convert("CMYK") for frame in frames]
    data = pictures.saved(frames[0], form, save_all=True, append_images=frames[1:])
    formats = ("avif", "jpeg", "webp", "keep")
    specs = [RenditionSpec(name=one, box=60, format=one) for one in formats]  # type: ignore[arg-type]
    got = render(data, only(*specs))
    assert got.frames == (1 if form in ("MPO", "TIFF") else 2)
    for picture in got.renditions:
        image = opened(picture)
        assert getattr(image, "n_frames", 1) == 1
        red = image.convert("RGB").getpixel((2, 2))[0]  # type: ignore[index]
        assert abs(red - (76 if mode == "L" else 255)) < 12, picture.name


def test_later_pages_of_a_tiff_are_never_read() -> None:
    """Here there is no such page; it could as well be one of any size."""
    data = bytearray(pictures.saved(pictures.scene(60, 40).convert("L"), "TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (tags,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * tags, len(data))
    got = render(bytes(data) + bytes(2), only(RenditionSpec(name="a", box=60, format="avif")))
    assert got.renditions[0].width == 60


SIZES = st.integers(1, 30_000)


@given(SIZES, SIZES, st.integers(1, 8192))
@example(20_000, 1, 128)
@example(1, 1, 1)
def test_sizes_keep_the_aspect_and_never_grow(width: int, height: int, box: int) -> None:
    small = inside((width, height), box)
    assert all(1 <= new <= max(1, min(old, box)) for new, old in zip(small, (width, height), strict=True))
    assert max(small) == min(box, max(width, height))
    scale = max(small) / max(width, height)
    assert all(abs(new - old * scale) <= 0.5 or new == 1 for new, old in zip(small, (width, height), strict=True))
    large = covering((width, height), box)
    assert min(large) == min(box, width, height)
    assert all(new <= old for new, old in zip(large, (width, height), strict=True))


@given(SIZES, SIZES)
def test_the_centre_square_is_the_largest_and_in_the_middle(width: int, height: int) -> None:
    left, top, right, bottom = centre_square(width, height)
    assert right - left == bottom - top == min(width, height)
    assert (left, top) == (width - right, height - bottom)


@settings(deadline=None)  # a busy machine is no finding
@given(st.integers(1, 260), st.integers(1, 260), st.integers(1, 8), st.integers(1, 300))
def test_any_small_picture_gives_what_the_sizes_promise(width: int, height: int, orientation: int, box: int) -> None:
    data = pictures.saved(Image.new("RGB", (width, height), "#336699"), "JPEG", exif=pictures.exif(orientation))
    specs = (RenditionSpec(name="in", box=box), RenditionSpec(name="over", box=box, fit="cover"))
    got = render(data, only(*specs))
    shown = (height, width) if orientation >= 5 else (width, height)
    assert (got.width, got.height) == shown
    fitted, square = got.renditions
    assert (fitted.width, fitted.height) == inside(shown, box)
    assert (square.width, square.height) == (box, box)
    assert opened(square).size == (box, box)


def test_notes_say_what_was_decided() -> None:
    got = render(pictures.GOOD["animated GIF"].make(), EVERYTHING)
    assert got.notes == (
        "It has 3 frames; the first one is used.",
        "GIF is written as PNG.",
        "The picture is smaller than its box in 1024: there it keeps its size.",
        "No thumbnail: the longest side has 600 px, it is made from 1024 px on.",
    )
    assert got.thumbnail is None


def test_a_rendition_can_ask_for_a_least_size() -> None:
    specs = (RenditionSpec(name="huge", box=4096, min_side=5000), RenditionSpec(name="a", box=64))
    got = render(pictures.saved(pictures.scene(), "JPEG"), only(*specs))
    assert [one.name for one in got.renditions] == ["a"]
    assert got.notes == ("No rendition huge: the longest side has 1200 px, it is made from 5000 px on.",)


def test_without_any_rendition_there_are_still_facts() -> None:
    got = render(pictures.oriented(6), only(RenditionSpec(name="huge", box=4096, min_side=5000)))
    assert (got.renditions, got.thumbnail, got.width, got.exif) == ((), None, 1200, {"orientation": 6})
    assert got.dominant_colour.startswith("#")


@pytest.mark.parametrize(
    ("form", "mode", "written"),
    [
        ("TIFF", "RGB", "jpeg"),
        ("TIFF", "RGBA", "png"),
        ("TIFF", "1", "png"),
        ("BMP", "P", "png"),
        ("BMP", "RGB", "jpeg"),
    ],
)
def test_formats_that_no_browser_shows_are_kept_as_the_nearest_that_it_does(form: str, mode: str, written: str) -> None:
    got = render(pictures.saved(pictures.scene(90, 60).convert(mode), form), EVERYTHING)
    assert {one.format for one in got.renditions} == {written}
    assert f"{form} is written as {written.upper()}." in got.notes


def test_pictures_name_their_type_and_extension() -> None:
    specs = [RenditionSpec(name=form, box=64, format=form) for form in ("keep", *PUBLIC)]  # type: ignore[arg-type]
    got = render(pictures.saved(pictures.scene(), "PNG"), only(*specs))
    assert [(one.content_type, one.extension) for one in got.renditions] == [
        ("image/png", "png"),
        ("image/jpeg", "jpg"),
        ("image/webp", "webp"),
        ("image/avif", "avif"),
    ]
    assert got.content_type == "image/png"


def test_the_resize_is_as_sharp_as_a_full_decode() -> None:
    """Scaled decoding and the chain against one Lanczos from the full picture; they are a few levels apart."""
    image = pictures.noisy(3000, 2000)
    data = pictures.saved(image, "JPEG", quality=92)
    got = render(data, only(*(RenditionSpec(name=str(box), box=box, format="webp") for box in (1024, 512, 128))))
    with Image.open(BytesIO(data)) as full:
        for picture in got.renditions:
            right = full.resize((picture.width, picture.height), Image.Resampling.LANCZOS)
            difference = ImageStat.Stat(ImageChops.difference(opened(picture).convert("L"), right.convert("L")))
            assert difference.rms[0] < 4


def test_the_timings_are_whole_milliseconds() -> None:
    timings = render(pictures.oriented(1), EVERYTHING).timings_ms
    assert set(timings) == {"decode", "resize", "encode"}
    assert all(isinstance(value, int) for value in timings.values())


def test_a_photo_finds_everything_imported_and_nothing_rare_is() -> None:
    """Imports are paid when the function starts; WebP, TIFF, AVIF and LittleCMS by the first picture that needs one."""
    script = """
import sys
from image_pipeline.renditions import render
from image_pipeline.settings import Recipe
before = {name for name in sys.modules if name.startswith("PIL.")}
render(sys.stdin.buffer.read(), Recipe())
print(*sorted({name for name in sys.modules if name.startswith("PIL.")} - before))
rare = {"PIL.WebPImagePlugin", "PIL.AvifImagePlugin", "PIL.TiffImagePlugin", "PIL.ImageCms"}
print(*sorted(before & rare))
"""
    for name in ("Display P3", "orientation 6"):
        data = pictures.GOOD[name].make()
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, input=data)
        assert done.stdout == b"\n\n", done.stderr


def test_the_guard_needs_no_decoder() -> None:
    script = "import sys, image_pipeline.guard; print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
