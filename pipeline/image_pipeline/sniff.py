"""What some bytes are, told from the bytes alone; names and declared content types are never asked."""

from __future__ import annotations

HEAD = 4096
"""This many bytes from the start of a file are enough to name it."""

_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))

_MAGIC = (
    (b"%PDF", "PDF"),
    (b"8BPS", "a Photoshop document"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x00\x00\x01\x00", "a Windows icon"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
)


def image_format(data: bytes) -> str | None:
    """The format's name as in settings.INPUT_FORMATS, or None for anything else. The first HEAD bytes suffice."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if _brands(data) & {b"avif", b"avis"}:
        return "avif"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "tiff"
    # "BM" alone begins many a text: the size of the second header tells a bitmap from one.
    if data.startswith(b"BM") and data[14:18] in _BMP_HEADERS:
        return "bmp"
    return None


def describe(data: bytes) -> str | None:
    """What bytes that are no supported image look like ("HEIC", "SVG", "plain text"), or None when unknown."""
    brands = _brands(data)
    if brands & _HEIF_BRANDS:
        return "HEIC"
    if b"crx " in brands:
        return "a camera raw file"
    if brands:
        return "an MP4 video"
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    return _text(data[:HEAD])


_BMP_HEADERS = frozenset(size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124))


def _brands(data: bytes) -> frozenset[bytes]:
    """Major and compatible brands of an ISO base media file; the major one alone misses valid AVIF files."""
    if data[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(data[:4], "big"), HEAD, len(data))
    return frozenset(data[at : at + 4] for at in (8, *range(16, end, 4)))


def _text(head: bytes) -> str | None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "plain text"
    # A character may be cut in two at the end of the head.
    text = head.decode("utf-8", "ignore").lstrip("\ufeff \t\r\n")
    if len(text.encode()) < len(head.strip()) - 8 or any(ord(one) < 32 and one not in "\t\r\n\f\x1b" for one in text):
        return None
    lower = text.lower()
    if "<svg" in lower:
        return "SVG"
    if lower.startswith(("<!doctype html", "<html")):
        return "HTML"
    return "XML" if lower.startswith("<?xml") else "plain text"
