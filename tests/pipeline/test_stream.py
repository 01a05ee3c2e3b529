"""Decoding while the bytes arrive: the same result as from the whole file, begun early, and no verdict on a part."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from io import BytesIO
from itertools import pairwise
from random import Random
from typing import Any

import pictures
import pytest
from PIL import Image

from image_pipeline import decode, guard
from image_pipeline.faults import TransientError
from image_pipeline.record import Refusal, RefusedError
from image_pipeline.renditions import Rendered, render, render_stream
from image_pipeline.settings import INPUT_FORMATS, Limits, Recipe, RenditionSpec
from image_pipeline.stream import Arriving

EVERYTHING = Recipe(formats=INPUT_FORMATS)
SMALL = replace(EVERYTHING, renditions=(RenditionSpec(name="a", box=64),), thumbnail=None)


@cache
def photo(**options: Any) -> bytes:
    """A JPEG of some hundred KB, with a few bytes behind its picture."""
    return pictures.saved(pictures.noisy(1600, 1200), "JPEG", quality=90, **options) + b"behind"


class Network:
    """A source that knows how much of the file has been asked for; after `stops` bytes, `end` answers instead."""

    def __init__(self, data: bytes, stops: int | None = None, end: Callable[[], bytes] = bytes) -> None:
        self.size, self.gone = len(data), 0
        self._file, self._stops, self._end = BytesIO(data), len(data) if stops is None else stops, end

    def source(self, most: int) -> bytes:
        block = self._file.read(min(most, self._stops - self.gone))
        self.gone += len(block)
        return block or self._end()

    def arriving(self) -> Arriving:
        return Arriving(self.source, self.size)


def streamed(data: bytes, recipe: Recipe = EVERYTHING) -> Rendered:
    return render_stream(Network(data).arriving(), recipe)


def verdict(work: Callable[[bytes, Recipe], Rendered], data: bytes, recipe: Recipe) -> Any:
    """All that is known and made of a file, or why it was refused."""
    try:
        return replace(work(data, recipe), timings_ms={})
    except RefusedError as refused:
        return refused.code, refused.reason


def code(verdict: Any) -> str:
    return verdict[0] if isinstance(verdict, tuple) else "ready"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a small file takes many blocks, and its header more than one."""
    monkeypatch.setattr(guard, "_HEAD", 40)
    monkeypatch.setattr(decode, "BLOCK", 97)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", [*pictures.GOOD, *(name for name in pictures.BAD if name != "50 MB of zeros")])
def test_the_result_is_that_of_the_whole_file(name: str) -> None:
    good = pictures.GOOD.get(name)
    data = (good or pictures.BAD[name]).make()
    recipe = replace(Recipe(), formats=(*Recipe().formats, *(() if good else pictures.BAD[name].formats)))
    recipe = EVERYTHING if good else recipe
    assert verdict(streamed, data, recipe) == verdict(render, data, recipe)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("seed", range(2))
def test_so_is_the_verdict_on_a_damaged_file(seed: int) -> None:
    """Its pixels may differ: libjpeg reads nonsense in one way where many bytes follow, and in another where few do."""
    random, found = Random(seed), set()
    scene = pictures.scene(240, 160)
    options = [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"quality": 95, "subsampling": 0}]
    whole = [pictures.saved(scene, "JPEG", **one) for one in options] + [pictures.saved(scene.convert("CMYK"), "JPEG")]
    for _ in range(100):
        data = pictures.wrecked(random.choice(whole), random)
        expected = code(verdict(render, data, SMALL))
        assert code(verdict(streamed, data, SMALL)) == expected
        found.add(expected)
    assert {"ready", Refusal.CORRUPT, Refusal.TRUNCATED} <= found


@pytest.mark.parametrize("block", [1000, 4000])
@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        (b"\xff\xd9" + bytes(9000), "ready"),
        (bytes(9000), "ready"),  # no end at all
        (bytes(9000) + b"\xff\xd9", "ready"),
        (b"\xff\xd0" * 4500 + b"\xff\xd9", "ready"),
        (b"\xff" * 9000 + b"\xd9", "ready"),
        (b"\xff\xfe\x00\x04ab\xff\xd9" + bytes(9000), "ready"),  # a comment
        (b"\xff\xda\x00\x02\xff\xd9" + bytes(9000), Refusal.CORRUPT),  # another scan
        (bytes(9000) + b"\xff\xda\x00\x02\xff\xd9", Refusal.CORRUPT),
        (bytes(9000) + b"\xff\xc4\x00\x03\x00\xff\xd9", Refusal.CORRUPT),  # a table that is none
    ],
)
def test_what_follows_the_last_line_counts_as_it_does_in_the_whole_file(
    monkeypatch: pytest.MonkeyPatch, behind: bytes, expected: str, block: int
) -> None:
    monkeypatch.setattr(guard, "_HEAD", 1000)
    monkeypatch.setattr(decode, "BLOCK", block)
    data = pictures.saved(pictures.scene(), "JPEG").removesuffix(b"\xff\xd9") + behind
    streamed_, whole = verdict(streamed, data, SMALL), verdict(render, data, SMALL)
    assert streamed_ == whole
    assert code(whole) == expected


def test_a_photo_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look is for the damaged; a film or a second picture behind the photo is no damage."""
    monkeypatch.setattr(decode, "decode", lambda *_: pytest.fail("decoded again"))
    for behind in (b"", b"\xff\xd8\xff\xe0" * 50_000):
        assert streamed(photo() + behind).width == 1600


def test_arithmetic_codes_are_decoded_from_the_whole_file() -> None:
    """libjpeg cannot wait for bytes in the midst of them."""
    data = photo()
    frame = data.index(b"\xff\xc0")
    assert guard.inspect(data, EVERYTHING).one_pass
    assert not guard.inspect(data[: frame + 1] + b"\xc9" + data[frame + 2 :], EVERYTHING).one_pass


@pytest.mark.parametrize("options", [{"progressive": True}, {"keep_rgb": True}], ids=["progressive", "one scan"])
def test_only_what_comes_in_one_scan_is_decoded_as_it_comes(options: dict[str, Any]) -> None:
    data = photo(**options)
    assert guard.inspect(data, EVERYTHING).one_pass == ("progressive" not in options)


def test_decoding_begins_long_before_the_last_byte_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    network, steps = Network(photo()), list[tuple[int, int]]()
    original = Image._getdecoder

    class Watched:
        """Pillow's decoder, which notes how many bytes had come when it was given some."""

        def __init__(self, *how: Any) -> None:
            self._decoder = original(*how)

        def decode(self, block: bytes) -> Any:
            steps.append((network.gone, len(block)))
            return self._decoder.decode(block)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._decoder, name)

    monkeypatch.setattr(Image, "_getdecoder", Watched)
    monkeypatch.setattr(decode, "BLOCK", 20_000)
    render_stream(network.arriving(), EVERYTHING)
    assert steps[0][0] < network.size / 3
    assert len(steps) > 10
    # Whatever has come is decoded before more is asked for, but for the few bytes of what has just begun.
    for (before, _), (now, given) in pairwise(steps):
        assert given - (now - before) < 2000


def test_a_photo_is_held_once_and_what_lies_behind_it_not_at_all() -> None:
    photo = pictures.large_jpeg(20_000, 15_000)
    recipe = replace(EVERYTHING, limits=Limits(max_pixels=300_000_000, memory=2_000_000_000))
    streamed(pictures.oriented(1))  # what is imported and cached stays
    network = Network(photo + bytes(20_000_000))
    tracemalloc.start()
    try:
        render_stream(network.arriving(), recipe)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert network.gone == network.size
    assert len(photo) > 3_000_000
    assert peak < len(photo) + 1_000_000


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["one scan", "progressive"])
def test_the_hash_is_that_of_all_bytes(options: dict[str, Any]) -> None:
    data = photo(**options)
    arriving = Network(data).arriving()
    render_stream(arriving, EVERYTHING)
    assert arriving.sha256 == sha256(data).hexdigest()


def broken() -> bytes:
    raise TransientError("the connection broke")


def wrong() -> bytes:
    raise ValueError("no message of a decoder")


@pytest.mark.parametrize("end", [bytes, broken, wrong], ids=["ends", "breaks", "fails"])
@pytest.mark.parametrize("share", [0, 0.0005, 0.1, 0.6, 0.99999])
@pytest.mark.parametrize("kind", ["one scan", "progressive", "PNG", "damaged"])
def test_bytes_that_do_not_come_are_no_verdict(kind: str, share: float, end: Callable[[], bytes]) -> None:
    """Not even where what has come is enough to tell that the file is damaged, or to make all of its pictures."""
    data = {
        "one scan": photo,
        "progressive": lambda: photo(progressive=True),
        "PNG": lambda: pictures.saved(pictures.noisy(300, 200), "PNG"),
        "damaged": lambda: photo().replace(b"\xff\xdb\x00\x43\x00", b"\xff\xdb\x00\x43\x11", 1),
    }[kind]()
    network = Network(data, stops=int(share * len(data)), end=end)
    with pytest.raises(TransientError):
        render_stream(network.arriving(), EVERYTHING)
    assert network.gone == int(share * len(data))


def test_more_bytes_than_were_announced_are_no_verdict() -> None:
    data = photo()
    with pytest.raises(TransientError, match="bytes came"):
        render_stream(Arriving(BytesIO(data).read, len(data) - 1), EVERYTHING)


@pytest.mark.parametrize(
    "data",
    [
        lambda: photo().replace(b"\xff\xda", b"\xff\xc9\0\2\xff\xda", 1),  # a second, short frame header
        lambda: photo()[:200_000],
        lambda: b"%PDF" + bytes(300_000),
    ],
    ids=["corrupt", "truncated", "no image"],
)
def test_a_refusal_waits_for_the_last_byte(data: Callable[[], bytes]) -> None:
    """Until then S3's checksum has not been compared: the damage may be that of the connection."""
    network = Network(data())
    ends = list[int]()
    network._end = lambda: ends.append(network.gone) or b""  # type: ignore[func-returns-value]
    with pytest.raises(RefusedError):
        render_stream(network.arriving(), EVERYTHING)
    assert ends[0] == network.size


def test_a_decoder_cannot_go_back() -> None:
    arriving = Network(bytes(1000)).arriving()
    assert arriving.head(10) == bytes(10)
    arriving.seek(0)
    arriving.read()
    with pytest.raises(ValueError, match="once"):
        arriving.seek(0)


def test_making_pictures_needs_no_aws() -> None:
    script = "import sys, image_pipeline.renditions; print('botocore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
