"""The sample photograph: real enough to show everything the pipeline does to a photo."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image, ImageCms

from image_pipeline.colour import read_profile
from image_pipeline.renditions import render
from image_pipeline.settings import Recipe
from imgpipe.icc import display_p3
from imgpipe.sample import sample_photo


@pytest.fixture(scope="module")
def photo() -> bytes:
    return sample_photo()


def test_it_is_a_twelve_megapixel_jpeg_stored_on_its_side(photo: bytes) -> None:
    with Image.open(BytesIO(photo)) as image:
        assert (image.format, image.size) == ("JPEG", (4000, 3000))
        assert image.getexif()[0x0112] == 6
        assert image.getexif().get_ifd(0x8825)


def test_it_weighs_what_photos_weigh(photo: bytes) -> None:
    assert 1_000_000 < len(photo) < 6_000_000


def test_it_shows_upright_with_the_sun_above_the_reeds(photo: bytes) -> None:
    made = render(photo, Recipe())
    assert (made.width, made.height) == (3000, 4000)
    assert made.thumbnail is not None
    with Image.open(BytesIO(made.renditions[2].data)) as image:
        sun, reeds = image.getpixel((42, 60)), image.getpixel((2, 125))
    assert sum(sun) > 650 > 200 > sum(reeds)  # type: ignore[arg-type]


def test_its_facts_are_read_and_its_place_is_gone(photo: bytes) -> None:
    made = render(photo, Recipe())
    assert made.exif == {
        "make": "imgpipe",
        "model": "Sample",
        "lens": "Sample 26mm f/2.8",
        "software": "imgpipe",
        "taken_at": "2024-06-21T20:47:13+02:00",
        "orientation": 6,
        "exposure_time": "1/250",
        "f_number": "2.8",
        "iso": 100,
        "focal_length": "26 mm",
    }
    assert made.notes == ("Colour profile kept: Display P3.",)


@pytest.mark.parametrize("megapixels", [0.000001, 0.01, 2])
def test_any_size_is_made_and_the_same_arguments_give_the_same_bytes(megapixels: float) -> None:
    photo = sample_photo(megapixels)
    assert photo == sample_photo(megapixels)
    assert photo != sample_photo(megapixels, seed=2) or megapixels < 0.01
    made = render(photo, Recipe())
    assert abs(made.width * made.height - megapixels * 1_000_000) <= 0.01 * megapixels * 1_000_000 + 1


def test_its_profile_is_one_that_colour_management_reads() -> None:
    profile = ImageCms.ImageCmsProfile(BytesIO(display_p3()))
    assert ImageCms.getProfileDescription(profile).strip() == "Display P3"
    assert abs(profile.profile.red_primary[1][0] - 0.680) < 0.004  # type: ignore[index]
    known = read_profile(display_p3())
    assert known is not None
    assert (known.name, known.is_srgb, len(known.curves)) == ("Display P3", False, 3)
