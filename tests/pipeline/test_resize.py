"""The two resizers give the same sizes and nearly the same pixels, and the pipeline works with either."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Any

import pictures
import pytest
from PIL import Image, ImageChops, ImageStat

from image_pipeline import resize

WITHOUT = """
import sys
sys.modules["cykooz_resizer"] = None
import pictures
from image_pipeline import resize
from image_pipeline.renditions import render
from image_pipeline.settings import INPUT_FORMATS, Recipe
assert resize._resize is resize._pillow_resize
for name in sys.argv[1:]:
    good = pictures.GOOD[name]
    made = render(good.make(), Recipe(formats=INPUT_FORMATS))
    print(name, [(one.width, one.height, one.format) for one in made.renditions], made.thumbnail is not None)
"""

SOME = ("orientation 6", "CMYK JPEG", "Display P3", "RGBA PNG", "16-bit grey PNG", "animated GIF", "20000 × 1", "1 × 1")


def test_the_pipeline_works_without_the_fast_resizer() -> None:
    from image_pipeline.renditions import render
    from image_pipeline.settings import INPUT_FORMATS, Recipe

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *SOME], capture_output=True, text=True, timeout=60, env={"PYTHONPATH": "tests"}
    )
    assert done.returncode == 0, done.stderr
    made = {name: render(pictures.GOOD[name].make(), Recipe(formats=INPUT_FORMATS)) for name in SOME}
    assert done.stdout.splitlines() == [
        f"{name} {[(p.width, p.height, p.format) for p in one.renditions]} {one.thumbnail is not None}"
        for name, one in made.items()
    ]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBa", "CMYK"])
@pytest.mark.parametrize("size", [(400, 300), (64, 64), (1, 300), (1, 1), (900, 700)])
def test_both_resizers_agree(mode: str, size: tuple[int, int]) -> None:
    grain = [Image.effect_noise((800, 600), 60) for _ in mode if mode != "L"] or [Image.effect_noise((800, 600), 60)]
    image = grain[0] if mode == "L" else Image.merge("RGBA" if mode == "RGBa" else mode, grain)
    image = image.convert("RGBa") if mode == "RGBa" else image
    extent = (0, 0, 799.5, 599.5)
    fast, slow = resize.lanczos(image, size, extent), resize._pillow_resize(image, size, extent)
    assert (fast.mode, fast.size) == (slow.mode, slow.size) == (mode, size)
    raw = [Image.frombytes("L", (len(one.tobytes()), 1), one.tobytes()) for one in (fast, slow)]
    assert ImageStat.Stat(ImageChops.difference(*raw)).mean[0] < 1.5


def test_premultiplied_alpha_and_back_agree() -> None:
    image = Image.merge("RGBA", [Image.effect_noise((300, 200), 60) for _ in range(4)])
    assert resize._close(resize.premultiply(image.copy()), resize._pillow_premultiply(image))
    premultiplied = image.convert("RGBa")
    assert resize._close(resize.unmultiply(premultiplied), resize._pillow_unmultiply(premultiplied))


def test_a_resizer_that_disagrees_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import cykooz_resizer

    assert resize._simd() is not None
    monkeypatch.setattr(cykooz_resizer.Resizer, "resize_pil", lambda *_: None)  # leaves black behind
    assert resize._simd() is None


def test_a_resizer_that_raises_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import cykooz_resizer

    def raises(*_: Any) -> None:
        raise RuntimeError("another struct")

    monkeypatch.setattr(cykooz_resizer.Resizer, "resize_pil", raises)
    assert resize._simd() is None


def test_an_unknown_pillow_is_never_handed_to_foreign_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resize.PIL, "__version__", "14.0.0")
    monkeypatch.setitem(sys.modules, "cykooz_resizer", ModuleType("cykooz_resizer"))
    assert resize._simd() is None


def test_pillow_is_a_version_without_known_holes() -> None:
    """13.0.0 fixes memory-safety bugs in the decoders that are used here; no older one will do."""
    assert int(Image.__version__.split(".")[0]) >= 13


def test_pictures_of_many_memory_blocks_are_resized() -> None:
    """Pillow splits large images into blocks of 16 MB, which the fast resizer has to follow."""
    image = Image.linear_gradient("L").resize((6000, 4000)).convert("RGB")
    small = resize.lanczos(image, (60, 40))
    assert resize._close(small, resize._pillow_resize(image, (60, 40), (0, 0, 6000, 4000)))
