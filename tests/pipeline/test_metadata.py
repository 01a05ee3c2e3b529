"""The facts of EXIF: a whitelist, clean, small, and never in the way."""

from __future__ import annotations

import json
import struct
from decimal import Decimal

import pictures
import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import example, given
from hypothesis import strategies as st

from image_pipeline.metadata import exif_facts

Entry = tuple[int, int, int, bytes]
"""Tag, type, count, and the value or whatever stands for it."""


def block(main: list[Entry], detail: list[Entry] = (), order: str = "<") -> bytes:  # type: ignore[assignment]
    """An EXIF block with two directories."""

    def directory(entries: list[Entry], at: int) -> bytes:
        body, values = b"", at + 2 + 12 * len(entries) + 4
        tail = b""
        for tag, kind, count, value in entries:
            if len(value) > 4:
                tail, value = tail + value, struct.pack(order + "I", values + len(tail))
            body += struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")
        return struct.pack(order + "H", len(entries)) + body + bytes(4) + tail

    second = 2000
    main = [*main, (0x8769, 4, 1, struct.pack(order + "I", second))]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + directory(main, 8)
    return b"Exif\0\0" + head.ljust(second, b"\0") + directory(list(detail), second)


def text(tag: int, value: bytes) -> Entry:
    return (tag, 2, len(value), value)


def rational(tag: int, above: int, below: int, order: str = "<") -> Entry:
    return (tag, 5, 1, struct.pack(order + "II", above, below))


@pytest.mark.parametrize("order", ["<", ">"])
def test_everything_on_the_whitelist_is_read(order: str) -> None:
    short = struct.pack(order + "H", 6)
    exif = block(
        [text(0x010F, b"Canon\0"), text(0x0110, b"EOS R5\0"), (0x0112, 3, 1, short), text(0x0131, b"fw 1.2\0")],
        [
            rational(0x829A, 1, 250, order),
            rational(0x829D, 28, 10, order),
            (0x8827, 3, 2, struct.pack(order + "HH", 400, 400)),
            text(0x9003, b"2024:05:17 14:03:22\0"),
            text(0x9011, b"+02:00\0"),
            rational(0x920A, 260, 10, order),
            text(0xA434, b"RF 24-70mm\0"),
        ],
        order,
    )
    assert (
        exif_facts(exif)
        == exif_facts(exif.removeprefix(b"Exif\0\0"))
        == {
            "make": "Canon",
            "model": "EOS R5",
            "lens": "RF 24-70mm",
            "software": "fw 1.2",
            "taken_at": "2024-05-17T14:03:22+02:00",
            "orientation": 6,
            "exposure_time": "1/250",
            "f_number": "2.8",
            "iso": 400,
            "focal_length": "26 mm",
        }
    )


@pytest.mark.parametrize(
    ("above", "below", "says"),
    [(1, 250, "1/250"), (10, 2500, "1/250"), (1, 3, "0.3"), (1, 2, "0.5"), (30, 1, "30"), (25, 10, "2.5")],
)
def test_exposure_is_written_as_photographers_write_it(above: int, below: int, says: str) -> None:
    assert exif_facts(block([], [rational(0x829A, above, below)])) == {"exposure_time": says}


@pytest.mark.parametrize(("above", "below"), [(0, 0), (1, 0), (0, 1), (4_294_967_295, 1)])
def test_meaningless_rationals_are_absent(above: int, below: int) -> None:
    tags = [rational(tag, above, below) for tag in (0x829A, 0x829D, 0x920A)]
    assert exif_facts(block([], tags)) == {}


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientations_that_do_not_exist_are_absent(orientation: int) -> None:
    assert exif_facts(block([(0x0112, 3, 1, struct.pack("<H", orientation))])) == {}


@pytest.mark.parametrize("date", [b"0000:00:00 00:00:00", b"2024:13:45 99:99:99", b"yesterday", b"    :  :     :  :  "])
def test_dates_that_do_not_exist_are_absent(date: bytes) -> None:
    assert exif_facts(block([text(0x0132, date)])) == {}


def test_text_is_cleaned_and_cut() -> None:
    dirty = block([text(0x010F, b"  A\x1b[31m\nB\x7f\xe2\x80\xae \0secret"), text(0x0110, b"x" * 5000)])
    facts = exif_facts(dirty[:6] + dirty[6:].ljust(9000, b"x"))
    assert facts["make"] == "A[31mB"
    assert facts.get("model", "") in ("", "x" * 128)


def test_old_cameras_latin_1_is_read() -> None:
    assert exif_facts(block([text(0x010F, "Zeiß".encode("latin-1"))])) == {"make": "Zeiß"}


def test_no_place_is_ever_kept() -> None:
    assert b"2" in pictures.everything_planted("JPEG")
    from PIL import Image

    tags = Image.Exif()
    tags[0x010F] = "Maker"
    tags.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    assert exif_facts(tags.tobytes()) == {"make": "Maker"}


def test_a_directory_that_points_at_itself_is_read_once() -> None:
    data = bytearray(block([text(0x010F, b"abc\0")]))
    pointer = data.index(struct.pack("<HHI", 0x8769, 4, 1)) + 8
    data[pointer : pointer + 4] = struct.pack("<I", 8)
    assert exif_facts(bytes(data)) == {"make": "abc"}


@given(st.binary(max_size=400), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_any_bytes_give_facts_that_dynamodb_takes(noise: bytes, head: bytes) -> None:
    facts = exif_facts(b"Exif\0\0" + head + noise)
    assert len(json.dumps(facts)) <= 4096
    assert all(isinstance(value, str | int) for value in facts.values())


KNOWN = (0x010F, 0x0110, 0x0112, 0x0131, 0x0132, 0x829A, 0x829D, 0x8827, 0x9003, 0x9011, 0x920A, 0xA434)
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(KNOWN) | st.integers(0, 0xFFFF),
        st.integers(0, 14),
        st.integers(0, 300) | st.sampled_from((0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)),
        st.binary(max_size=12)  # numbers, and rationals of every kind, 0/0 and beyond what a float holds among them
        | st.text(min_size=100, max_size=600).map(str.encode)
        | st.sampled_from(("\U0001f4f7" * 600, "é" * 600, "\0" * 600, "\x1b" * 600)).map(str.encode),
    ),
    max_size=20,
)


@given(ENTRIES, ENTRIES, st.sampled_from("<>"))
@example([(tag, 2, 600, "\U0001f4f7".encode() * 150) for tag in KNOWN], [(0xA434, 2, 600, b"x" * 600)], "<")
def test_any_value_of_any_tag_gives_facts_that_can_be_stored(
    main: list[Entry], detail: list[Entry], order: str
) -> None:
    facts = exif_facts(block(main, detail, order))
    back = TypeDeserializer().deserialize(TypeSerializer().serialize(facts))
    assert {name: int(one) if isinstance(one, Decimal) else one for name, one in back.items()} == facts
    assert len(json.dumps(facts, ensure_ascii=False).encode()) <= 4096
    assert all(one.isprintable() for one in facts.values() if isinstance(one, str))


@pytest.mark.parametrize("nothing", [None, "text", b"", b"Exif\0\0", {}])
def test_whatever_is_no_exif_has_no_facts(nothing: object) -> None:
    assert exif_facts(nothing) == {}
