"""Names and files: whatever the key, nothing lands outside the chosen directory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_pipeline.record import ImageRecord, Output, Source, Status
from imgpipe.downloads import Piece, destination, made_of, refuse_to_overwrite, rendition, safe_name, write
from imgpipe.errors import ImgpipeError

PARTS = st.sampled_from(
    ["..", ".", "/", "\\", "\n", "\x00", " ", "~", "con", "é", "a.jpg", "\u202e", ":", "-rf", "$(x)"]
)
KEYS = st.one_of(st.text(min_size=1, max_size=120), st.lists(PARTS, min_size=1, max_size=12).map("".join))


@given(KEYS)
def test_a_safe_name_stays_in_its_directory(key: str) -> None:
    name = safe_name(key)
    assert name not in ("", ".", "..")
    assert not set(name) & set('/\\:\n\r\x00<>"|?*\x1b')
    assert not name.startswith((".", "-"))
    assert len(name.encode(errors="surrogatepass")) <= 200
    assert (Path("/chosen") / name).parent == Path("/chosen")
    assert safe_name(key) == name


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("photo.jpg", "photo.jpg"),
        ("a/b/photo one.jpg", "photo one.jpg"),
        ("../../etc/passwd", "passwd"),
        ("/leading.png", "leading.png"),
        ("a\\..\\b.png", "b.png"),
        ("line\nbreak.jpg", "line_break.jpg"),
        ("pho\u200bto.jpg", "pho_to.jpg"),
        ("x/.bashrc", "_bashrc"),
        ("größe.jpg", "größe.jpg"),
        ("nul.jpg", "_nul.jpg"),
        ("folder/", "folder"),
    ],
)
def test_a_safe_name_is_the_last_part_of_the_key(key: str, name: str) -> None:
    assert safe_name(key) == name


def test_a_long_name_keeps_its_extension() -> None:
    assert safe_name("é" * 400 + ".jpeg").endswith(".jpeg")


def test_a_key_of_dots_gets_a_name_of_its_own() -> None:
    assert safe_name("..") != safe_name("../..")
    assert safe_name("..").startswith("image-")


def output(name: str, bucket: str) -> Output:
    return Output(
        name=name,
        width=64,
        height=64,
        bytes=3,
        format="jpeg",
        content_type="image/jpeg",
        bucket=bucket,
        key=f"photo.jpg/0123456789ab/{name}.jpg",
        uri=f"s3://{bucket}/photo.jpg/0123456789ab/{name}.jpg",
    )


# A recipe with renditions of 64 pixels has a thumbnail of the same name, which is the box.
TWINS = ImageRecord(
    image_key="a/photo.jpg",
    status=Status.READY,
    file_name="photo.jpg",
    user="ada",
    uploaded_at="2026-01-31T12:00:00Z",
    source=Source(bucket="in", key="a/photo.jpg", uri="s3://in/a/photo.jpg", version_id="1"),
    recipe="r",
    revision="1",
    processed_at="2026-01-31T12:00:01Z",
    request_id="q",
    renditions=(output("64", "resized"),),
    thumbnail=output("64", "thumbnails"),
)


def test_a_rendition_and_a_thumbnail_of_one_name_are_two_files() -> None:
    assert [(one.name, one.bucket, one.file_name) for one in made_of(TWINS)] == [
        ("64", "resized", "photo-64.jpg"),
        ("thumbnail", "thumbnails", "photo-thumbnail.jpg"),
    ]


def test_a_name_means_the_rendition_and_thumbnail_the_thumbnail() -> None:
    assert rendition(TWINS, "64").bucket == "resized"
    assert rendition(TWINS, "thumbnail").bucket == "thumbnails"
    assert rendition(replace(TWINS, renditions=()), "64").bucket == "thumbnails"
    with pytest.raises(ImgpipeError, match="has 64, thumbnail"):
        rendition(TWINS, "128")
    with pytest.raises(ImgpipeError, match="no rendition thumbnail"):
        rendition(replace(TWINS, thumbnail=None), "thumbnail")


class Store:
    """Stands for the client of a bucket that ends, or breaks, in the middle of a body."""

    def __init__(self, chunks: list[bytes], broken: bool = False) -> None:
        self.chunks, self.broken = chunks, broken

    def __getitem__(self, service: str) -> Any:
        return self

    def get_object(self, **_: Any) -> dict[str, Any]:
        return {"Body": self}

    def iter_chunks(self, _: int) -> Any:
        yield from self.chunks
        if self.broken:
            raise ConnectionError("gone")


PIECE = Piece("original", "bucket", "key", "key")


def test_a_broken_download_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"before")
    with pytest.raises(ConnectionError):
        write(Store([b"half"], broken=True), PIECE, path)  # type: ignore[arg-type]
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_download_is_written_whole_below_folders_that_it_makes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "photo.jpg"
    assert write(Store([b"one", b"two"]), PIECE, path) == 6  # type: ignore[arg-type]
    assert path.read_bytes() == b"onetwo"


def test_several_pieces_or_a_folder_go_into_the_folder(tmp_path: Path) -> None:
    assert destination([PIECE], None) == [Path("key")]
    assert destination([PIECE], str(tmp_path)) == [tmp_path / "key"]
    assert destination([PIECE], str(tmp_path / "new") + "/") == [tmp_path / "new" / "key"]
    assert destination([PIECE], str(tmp_path / "file.jpg")) == [tmp_path / "file.jpg"]
    assert destination([PIECE, PIECE], str(tmp_path / "new")) == [tmp_path / "new" / "key"] * 2


def test_a_link_that_leads_nowhere_is_not_overwritten_either(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ImgpipeError) as caught:
        refuse_to_overwrite([link])
    assert caught.value.status == 6
