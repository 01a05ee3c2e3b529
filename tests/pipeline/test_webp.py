"""Still WebP pictures by libwebp itself: the same pixels as Pillow's own, and the same verdict on what is damaged."""

from __future__ import annotations

from io import BytesIO
from random import Random

import pictures
import pytest
from PIL import Image, ImageChops, ImageStat

from image_pipeline import webp
from image_pipeline.decode import decode
from image_pipeline.guard import inspect
from image_pipeline.headers import read_header
from image_pipeline.record import Refusal, RefusedError
from image_pipeline.settings import Recipe

pytestmark = pytest.mark.skipif(not webp.is_here(), reason="this Pillow brings no libwebp of its own")

OPTIONS: dict[str, dict[str, object]] = {
    "lossy": {"quality": 80},
    "lossless": {"lossless": True},
    "alpha": {"quality": 80},
    "lossless alpha": {"lossless": True, "exact": True},
    "with a profile and Exif": {"icc_profile": b"no profile", "exif": pictures.exif(6)},
}


def still(kind: str, size: tuple[int, int] = (67, 45)) -> bytes:
    """A picture of many colours, half of it more or less transparent where the kind says so."""
    scene = pictures.scene(*size)
    if "alpha" in kind:
        scene.putalpha(Image.linear_gradient("L").resize(size))
    return pictures.saved(scene, "WEBP", method=0, **OPTIONS[kind])


def verdict(data: bytes) -> object:
    """The pixels of a file, or the code it is refused with."""
    try:
        decoded = decode(data, inspect(data, Recipe()), (10_000, 10_000))
    except RefusedError as refused:
        return refused.code
    return decoded.mode, decoded.image.mode, decoded.exif, decoded.icc, decoded.image.tobytes()


def by_pillow(data: bytes) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(webp, "_library", lambda: None)
        return verdict(data)


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("size", [(1, 1), (67, 45), (130, 2), (3, 257)], ids=str)
def test_the_pixels_are_those_that_pillow_gives(kind: str, size: tuple[int, int]) -> None:
    data = still(kind, size)
    assert webp.decode_still(data, size, size) is not None
    assert verdict(data) == by_pillow(data)


def test_a_lossy_picture_is_decoded_at_twice_the_size_that_is_wanted() -> None:
    data = still("lossy", (1000, 700))
    image = webp.decode_still(data, (1000, 700), (200, 140))
    assert image is not None
    assert image.size == (400, 280)
    with Image.open(BytesIO(data)) as whole:
        one, other = (each.convert("RGB").resize((200, 140), Image.Resampling.LANCZOS) for each in (image, whole))
    assert max(ImageStat.Stat(ImageChops.difference(one, other)).rms) < 2


@pytest.mark.parametrize("kind", ["lossless", "alpha", "lossless alpha"])
def test_others_are_decoded_at_their_own_size(kind: str) -> None:
    image = webp.decode_still(still(kind, (300, 200)), (300, 200), (20, 14))
    assert image is not None
    assert image.size == (300, 200)


def test_an_animation_is_left_to_pillow() -> None:
    data = pictures.animated_webp_claiming(40, 30)
    assert webp.decode_still(data, (40, 30), (40, 30)) is None
    assert verdict(data) == by_pillow(data)


def test_no_other_size_is_decoded_than_the_one_that_was_checked() -> None:
    assert webp.decode_still(still("lossy"), (67, 44), (67, 44)) is None


def test_the_guard_grants_memory_for_pillows_canvases_where_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    moving, lone = pictures.animated_webp_claiming(40, 30), still("lossy")
    assert [read_header("webp", data, 1).bytes_per_pixel for data in (moving, lone)] == [17, 10]
    monkeypatch.setattr(webp, "_library", lambda: None)
    assert read_header("webp", lone, 1).bytes_per_pixel == 17


@pytest.mark.parametrize("kind", OPTIONS)
def test_damage_gets_the_verdict_that_pillow_gives(kind: str) -> None:
    """But for a picture whose end lies behind its chunk: libwebp reads on where Pillow shows it the chunk alone."""
    chance = Random(f"damage to {kind}")
    data = still(kind)
    for _ in range(150):
        broken = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        cut = bytes(broken[: chance.randrange(len(data))] if chance.random() < 0.3 else broken)
        found, expected = verdict(cut), by_pillow(cut)
        assert found == expected or (expected is Refusal.CORRUPT and isinstance(found, tuple))
