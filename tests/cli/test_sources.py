"""What the arguments of `upload` name, and under which keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgpipe.errors import ImgpipeError
from imgpipe.sources import Item, collect

JPEG, PNG = b"\xff\xd8\xff\xe0rest", b"\x89PNG\r\n\x1a\nrest"


def collected(*named: str | Path, key: str | None = None, prefix: str = "", stdin: bytes = b"") -> list[Item]:
    return collect([str(name) for name in named], key=key, prefix=prefix, stdin=lambda: stdin)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "holiday" / "day one").mkdir(parents=True)
    (tmp_path / "holiday" / "a.jpg").write_bytes(JPEG)
    (tmp_path / "holiday" / "no extension").write_bytes(PNG)
    (tmp_path / "holiday" / "liar.jpg").write_bytes(b"text")
    (tmp_path / "holiday" / "day one" / "größe.png").write_bytes(PNG)
    return tmp_path / "holiday"


def test_what_a_folder_holds_beside_images_is_named(folder: Path) -> None:
    left_out: list[Path] = []
    collect([str(folder)], key=None, prefix="", stdin=bytes, left_out=left_out.append)
    assert [path.name for path in left_out] == ["liar.jpg"]


def test_a_file_is_keyed_by_its_name_and_typed_by_its_bytes(folder: Path) -> None:
    (item,) = collected(folder / "no extension")
    assert (item.key, item.content_type) == ("no extension", "image/png")


AVIF_BY_A_COMPATIBLE_BRAND = b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf"


@pytest.mark.parametrize(
    ("head", "media"),
    [
        (AVIF_BY_A_COMPATIBLE_BRAND, "image/avif"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "image/bmp"),
        (b"BMW builds cars, and this is a text about them.", None),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", None),
    ],
)
def test_a_folder_is_searched_with_the_eyes_of_the_function(tmp_path: Path, head: bytes, media: str | None) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "b").write_bytes(head)
    found = {item.key: item.content_type for item in collected(tmp_path)}
    assert found == {"a.jpg": "image/jpeg"} | ({"b": media} if media else {})


def test_what_would_be_a_folder_marker_is_refused_before_anything_is_sent(folder: Path) -> None:
    (folder / "empty.bin").write_bytes(b"")
    for named in (folder / "empty.bin", "-"):
        with pytest.raises(ImgpipeError, match="folder") as caught:
            collected(named, key="dir/")
        assert caught.value.status == 2
    assert [item.key for item in collected(folder / "a.jpg", key="dir/")] == ["dir/"]
    assert [item.key for item in collected(folder / "empty.bin", key="dir/empty")] == ["dir/empty"]


def test_a_folder_is_keyed_by_the_paths_below_it_and_holds_images_only(folder: Path) -> None:
    assert [item.key for item in collected(folder)] == ["a.jpg", "day one/größe.png", "no extension"]


def test_a_file_that_is_named_is_sent_whatever_it_holds(folder: Path) -> None:
    (item,) = collected(folder / "liar.jpg")
    assert item.content_type == "application/octet-stream"


def test_a_pattern_that_the_shell_left_alone_is_a_pattern(folder: Path) -> None:
    assert [item.key for item in collected(f"{folder}/**/*.png")] == ["größe.png"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "[1].jpg").write_bytes(JPEG)
    assert [item.key for item in collected(tmp_path / "[1].jpg")] == ["[1].jpg"]


def test_stdin_needs_a_key_and_is_read_whole() -> None:
    (item,) = collected("-", key="cat.jpg", stdin=JPEG)
    assert item.open().read() == JPEG
    with pytest.raises(ImgpipeError, match="no name"):
        collected("-", stdin=JPEG)


def test_prefix_and_key_change_the_key_as_they_are(folder: Path) -> None:
    assert [item.key for item in collected(folder / "a.jpg", prefix="2026/")] == ["2026/a.jpg"]
    assert [item.key for item in collected(folder / "a.jpg", key="../x", prefix="2026/")] == ["2026/../x"]


def test_two_files_with_one_key_are_refused_with_both_names(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "a.jpg"
    other.write_bytes(JPEG)
    with pytest.raises(ImgpipeError) as caught:
        collected(folder / "a.jpg", other)
    assert str(folder / "a.jpg") in caught.value.message
    assert str(other) in caught.value.message


@pytest.mark.parametrize("key", ["", "x" * 1025, "é" * 513, "\udcff"])
def test_what_cannot_be_a_key_is_refused_before_anything_is_sent(folder: Path, key: str) -> None:
    with pytest.raises(ImgpipeError) as caught:
        collected(folder / "no extension", prefix=key) if key else collected("-", key="", stdin=JPEG)
    assert caught.value.status == 2


def test_an_empty_key_is_refused_and_not_taken_for_none(folder: Path) -> None:
    with pytest.raises(ImgpipeError, match="at least one character") as caught:
        collected(folder / "a.jpg", key="", prefix="2026/")
    assert caught.value.status == 2


def test_one_key_is_not_for_several_images(folder: Path) -> None:
    with pytest.raises(ImgpipeError, match="--key"):
        collected(folder, key="x")
