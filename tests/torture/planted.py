"""Photos of every input format that hold a marker wherever a file can hold anything but its pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from pictures import MARKER, chunk, saved, scene, segment, talkative_profile
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

TEXT = MARKER.decode()
WIDE = TEXT.encode("utf-16-le")
FORMS = (MARKER, WIDE, TEXT.encode("utf-16-be"), MARKER.hex().encode(), MARKER.hex().upper().encode())
"""What the marker looks like in the places that it is planted in."""

KEPT = {0x010F: "Maker", 0x0110: "Model", 0x0131: "Software"}
"""EXIF tags that are meant to be in the record, and what they say here."""

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:li>" + MARKER + b"</rdf:li></x:xmpmeta>"
IPTC = (
    b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(MARKER) + 5) + b"\x1c\x02\x78\0\x1b" + MARKER + b"\0"
)
PLACE = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 36.0), 27: b"ASCII\0\0\0" + MARKER, 28: WIDE, 29: TEXT}


def exif() -> bytes:
    """EXIF with the marker in every tag that can hold one, and in the JPEG of its thumbnail."""
    tags = Image.Exif()
    for tag, value in KEPT.items():
        tags[tag] = value
    tags[0x010E] = tags[0x013B] = tags[0x8298] = TEXT
    for tag in range(0x9C9B, 0x9CA0):  # Windows' title, comment, author, keywords and subject
        tags[tag] = WIDE
    tags.get_ifd(0x8769).update(
        {
            0x927C: b"Maker\0" + MARKER + WIDE,
            0x9286: b"UNICODE\0" + WIDE,
            0xA420: TEXT,
            0xA430: TEXT,
            0xA431: TEXT,
            0xA435: TEXT,
        }
    )
    tags.get_ifd(0x8825).update(PLACE)
    block = tags.tobytes()
    # Pillow writes no second directory: it goes behind the first, whose last four bytes say where the next one is.
    order = ">" if block[6:8] == b"MM" else "<"
    first = 6 + struct.unpack_from(order + "I", block, 10)[0]
    link = first + 2 + 12 * struct.unpack_from(order + "H", block, first)[0]
    small = saved(scene(16, 16), "JPEG", comment=MARKER)
    here = len(block) - 6
    second = struct.pack(order + "H", 3)
    for tag, kind, value in ((0x0103, 3, 6), (0x0201, 4, here + 42), (0x0202, 4, len(small))):
        second += struct.pack(order + "HHI", tag, kind, 1) + struct.pack(
            order + ("HH" if kind == 3 else "I"), *([value, 0] if kind == 3 else [value])
        )
    return block[:link] + struct.pack(order + "I", here) + block[link + 4 :] + second + bytes(4) + small


def jpeg(form: str = "JPEG") -> bytes:
    extended = b"http://ns.adobe.com/xmp/extension/\0" + MARKER
    more = (
        segment(0xED, IPTC),
        segment(0xE1, extended),
        segment(0xEB, b"JP\0\1\0\0\0\1" + struct.pack(">I", 8 + len(MARKER)) + b"jumb" + MARKER),
        segment(0xEC, b"Ducky\0" + MARKER),
        segment(0xE5, MARKER),
        segment(0xFE, MARKER + b"<script>"),
    )
    options = {"exif": exif(), "xmp": XMP, "icc_profile": talkative_profile(), "comment": MARKER}
    if form == "MPO":
        second = scene(300, 200)
        second.info["comment"] = MARKER
        options |= {"save_all": True, "append_images": [second]}
    data = saved(scene(300, 200), form, **options)
    return data if form == "MPO" else data[:2] + b"".join(more) + data[2:] + MARKER


def png() -> bytes:
    """Text in every packing, before and behind the pixels, and the hexadecimal blocks that ImageMagick writes."""
    packed = zlib.compress(MARKER)
    raw = b"\nexif\n      26\n" + MARKER.hex().encode() + b"\n"
    texts = [
        chunk(b"tEXt", b"Comment\0" + MARKER),
        chunk(b"tEXt", MARKER + b"\0value"),
        chunk(b"tEXt", b"Raw profile type exif\0" + raw),
        chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(raw)),
        chunk(b"zTXt", b"Author\0\0" + packed),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        chunk(b"iTXt", b"Title\0\1\0en\0" + MARKER + b"\0" + packed),
        chunk(b"eXIf", exif()[6:]),
        chunk(b"iCCP", MARKER + b"\0\0" + zlib.compress(talkative_profile())),
        chunk(b"sPLT", MARKER + b"\0\x08" + bytes(6)),
        chunk(b"prVt", MARKER + WIDE),
    ]
    data = saved(scene(300, 200), "PNG")
    late = chunk(b"tEXt", b"Late\0" + MARKER) + chunk(b"zTXt", b"Late\0\0" + packed)
    return data[:33] + b"".join(texts) + data[33:-12] + late + data[-12:] + MARKER


def gif() -> bytes:
    """Extensions before the picture, the marker in blocks of their own."""

    def blocks(body: bytes) -> bytes:
        return (
            b"".join(bytes((len(body[at : at + 255]),)) + body[at : at + 255] for at in range(0, len(body), 255))
            + b"\0"
        )

    more = b"!\xfe" + blocks(MARKER) + b"!\xff\x0bXMP DataXMP" + blocks(XMP)
    more += b"!\xff\x0bICCRGBG1012" + blocks(talkative_profile())
    more += b"!\x01\x0c" + bytes(12) + blocks(MARKER)
    data = saved(scene(300, 200), "GIF", comment=MARKER, save_all=True, append_images=[Image.new("RGB", (300, 200))])
    head = 13 + (3 << ((data[10] & 7) + 1))
    return data[:head] + more + data[head:-1] + b"!\xfe" + blocks(MARKER) + b";" + MARKER


def webp(lossless: bool = False) -> bytes:
    data = saved(scene(300, 200), "WEBP", exif=exif(), xmp=XMP, icc_profile=talkative_profile(), lossless=lossless)
    more = b"prVt" + struct.pack("<I", len(MARKER)) + MARKER + bytes(len(MARKER) % 2)
    return data[:4] + struct.pack("<I", len(data) + len(more) - 8) + data[8:] + more + MARKER


def avif() -> bytes:
    data = saved(scene(300, 200), "AVIF", exif=exif(), xmp=XMP, icc_profile=talkative_profile())
    boxes = b"".join(
        struct.pack(">I", 8 + len(body)) + kind + body
        for kind, body in ((b"free", MARKER), (b"uuid", MARKER[:16] + MARKER))
    )
    return data + boxes + MARKER


def tiff() -> bytes:
    """Its own tags, private ones, IPTC, Photoshop's block, and the directories of EXIF and GPS."""
    tags = ImageFileDirectory_v2()
    for tag, value in KEPT.items():
        tags[tag] = value
    for tag in (269, 270, 285, 315, 316, 337, 33432):
        tags[tag] = TEXT
    for tag, raw in ((700, XMP), (33723, MARKER), (34377, IPTC), (37724, MARKER), (65000, MARKER + WIDE)):
        tags.tagtype[tag] = 7
        tags[tag] = raw
    image = scene(300, 200)
    details = image.getexif()
    details.get_ifd(0x8769).update({0x927C: MARKER, 0x9286: b"ASCII\0\0\0" + MARKER, 0xA420: TEXT})
    details.get_ifd(0x8825).update(PLACE)
    return saved(image, "TIFF", tiffinfo=tags, icc_profile=talkative_profile(), exif=details) + MARKER


def bmp() -> bytes:
    """Between the headers and the pixels, and behind them."""
    data = saved(scene(300, 200), "BMP")
    start = struct.unpack_from("<I", data, 10)[0]
    gap = MARKER + WIDE
    return data[:10] + struct.pack("<I", start + len(gap)) + data[14:start] + gap + data[start:] + MARKER


PLANTED: dict[str, Callable[[], bytes]] = {
    "JPEG": jpeg,
    "MPO": lambda: jpeg("MPO"),
    "PNG": png,
    "GIF": gif,
    "WebP": webp,
    "lossless WebP": lambda: webp(lossless=True),
    "AVIF": avif,
    "TIFF": tiff,
    "BMP": bmp,
}
