"""Sizes, frames and decoding cost of a picture, read from its headers without decoding or importing a decoder."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from image_pipeline.record import Refusal, RefusedError

MAX_HEADER_METADATA = 16_000_000
"""Bytes of metadata in a JPEG before its pixels, or in a PNG: the most that an ICC profile split for JPEG can take."""

MAX_BLOCKS = 100_000
"""Chunks, segments or blocks that are read before giving up: honest files have fewer, and each costs time."""

MAX_PACKED = 256
"""Profiles and texts of a PNG that may be packed: the decoder unpacks each of them, to at most 1 MB."""

MAX_EXIF_SEGMENTS = 32
"""Exif segments of a JPEG: one holds 64 KB, and the decoder copies all it has so far for each further one."""

_JUNK = 65_536

_SEGMENT = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
"""A marker between the entropy-coded bytes of a JPEG that is neither padding nor a restart."""

_Frame = tuple[int, int, int, bytes]
"""A JPEG frame header: marker code, width, height, and the segment behind its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One file's headers. `bytes_per_pixel` is the memory that decoding takes, for each pixel as stored.

    `ends_early` is set when the file's own structure reaches beyond its last byte, `one_pass` when it can be
    decoded line by line, of bytes that come piece by piece.
    """

    width: int
    height: int
    bytes_per_pixel: float
    frames: int = 1
    scans: int = 1
    ends_early: bool = False
    one_pass: bool = False


def read_header(form: str, data: bytes, max_scans: int) -> Header:
    """The header of `data`, which was sniffed as `form`: "jpeg", "png", "gif" or "webp".

    Scans of a JPEG are counted exactly up to `max_scans`. Raises RefusedError: TRUNCATED or CORRUPT where there is no
    complete header, METADATA_TOO_LARGE, UNSUPPORTED_TYPE.
    """
    try:
        return _jpeg(data, max_scans) if form == "jpeg" else _READERS[form](data)
    except IndexError:
        raise RefusedError(Refusal.TRUNCATED, "It ends inside its header.") from None


def _jpeg(data: bytes, max_scans: int) -> Header:
    """Segments up to the first scan; the entropy-coded rest is searched for more scans only where they are decoded."""
    position, junk, segments, metadata, exif = 2, 0, 0, 0, 0
    frame: _Frame | None = None
    while True:
        start = position
        position = data.find(b"\xff", position)
        if position < 0 or segments > MAX_BLOCKS or junk > _JUNK:
            break
        code = data[position + 1]
        junk += position - start
        if code == 0xFF:
            position, junk = position + 1, junk + 1
            continue
        position += 2
        if code in (0x00, 0x01) or 0xD0 <= code <= 0xD8:
            junk += 2
            continue
        if code == 0xD9:
            break
        if code in _NO_MARKERS:
            # Decoders disagree on whether these have a length: nothing behind one can be trusted to be seen alike.
            raise RefusedError(Refusal.CORRUPT, f"It has a segment of the unknown kind {code:02X}.")
        length = _big(data, position, 2)
        if length < 2 or position + length > len(data):
            break
        if code in _FRAMES:
            if frame or length < 8 or length != 8 + 3 * data[position + 7]:
                raise RefusedError(Refusal.CORRUPT, "Its frame header is damaged.")
            body = data[position + 2 : position + length]
            frame = (code, _big(body, 3, 2), _big(body, 1, 2), body)
        elif code == 0xDA:
            return _jpeg_header(data, frame, position, max_scans)
        metadata += length
        if metadata > MAX_HEADER_METADATA:
            raise RefusedError(Refusal.METADATA_TOO_LARGE, f"At most {MAX_HEADER_METADATA // 1_000_000} MB.")
        exif += code == 0xE1 and data.startswith(b"Exif\0\0", position + 2)
        if exif > MAX_EXIF_SEGMENTS:
            raise RefusedError(Refusal.METADATA_TOO_LARGE, f"It has more than {MAX_EXIF_SEGMENTS} Exif segments.")
        segments += 1
        position += length
    if segments > MAX_BLOCKS:
        raise RefusedError(Refusal.METADATA_TOO_LARGE, f"It has more than {MAX_BLOCKS:,} segments.")
    if junk > _JUNK:
        raise RefusedError(Refusal.CORRUPT, "There is no picture behind the header.")
    raise RefusedError(Refusal.TRUNCATED, "It ends before the first line of the picture.")


_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NO_MARKERS = frozenset((*range(0x02, 0xC0), 0xC8, 0xDE, 0xDF, *range(0xF0, 0xFE)))


def _jpeg_header(data: bytes, frame: _Frame | None, scan: int, max_scans: int) -> Header:
    """The header of a JPEG whose first scan begins at `scan`."""
    if frame is None:
        raise RefusedError(Refusal.CORRUPT, "There is a scan, but no frame header.")
    code, width, height, body = frame
    if body[0] != 8:
        raise RefusedError(Refusal.UNSUPPORTED_TYPE, f"It is a {body[0]}-bit JPEG; 8-bit ones are supported.")
    components = body[5]
    if components not in (1, 3, 4):
        raise RefusedError(Refusal.CORRUPT, f"It has {components} components.")
    factors = [(body[7 + 3 * n] >> 4) * (body[7 + 3 * n] & 15) for n in range(components)]
    # libjpeg keeps every coefficient of a picture that comes in several scans (2 bytes each), and then reads all
    # scans before the first line. One interleaved scan is decoded line by line, and nothing after it is read.
    several = code in (0xC2, 0xC6, 0xCA, 0xCE) or data[scan + 2] < components
    coefficients = 2 * sum(factors) / max(1, *factors) if several else 0
    return Header(
        width=width,
        height=height,
        bytes_per_pixel=4.3 + coefficients,
        scans=_count_scans(data, scan, max_scans) if several else 1,
        one_pass=code in (0xC0, 0xC1) and not several,  # libjpeg cannot wait in the midst of arithmetic codes
    )


def _count_scans(data: bytes, first: int, enough: int) -> int:
    """Scans of the picture whose first one begins at `first`; counting stops above `enough`."""
    # Every scan begins with this pair of bytes, so their number is an upper bound, found at the speed of memchr.
    # What follows the picture may hold the pair too: only where the bound is too high are the segments walked.
    scans = data.count(b"\xff\xda", first) + 1
    if scans <= enough:
        return scans
    scans, position = 1, first
    for _ in range(MAX_BLOCKS):
        marker = _SEGMENT.search(data, position)
        if scans > enough or marker is None or data[marker.start() + 1] == 0xD9:
            return scans
        scans += data[marker.start() + 1] == 0xDA
        position = marker.end()
        if position + 2 > len(data):
            return scans
        position += _big(data, position, 2)
    raise RefusedError(Refusal.METADATA_TOO_LARGE, f"It has more than {MAX_BLOCKS:,} segments.")


def _png(data: bytes) -> Header:
    if data[12:16] != b"IHDR":
        raise RefusedError(Refusal.CORRUPT if len(data) > 16 else Refusal.TRUNCATED, "It has no header.")
    width, height = _big(data, 16, 4), _big(data, 20, 4)
    frames, packed, metadata, ends_early = 1, 0, 0, True
    position = 8
    for _ in range(MAX_BLOCKS):
        if position + 12 > len(data):
            break
        length, kind = _big(data, position, 4), data[position + 4 : position + 8]
        if kind == b"acTL" and length >= 8:
            frames = max(1, _big(data, position + 8, 4))
        metadata += length if kind in (b"iCCP", b"zTXt", b"iTXt", b"tEXt", b"eXIf") else 0
        if metadata > MAX_HEADER_METADATA:
            raise RefusedError(Refusal.METADATA_TOO_LARGE, f"At most {MAX_HEADER_METADATA // 1_000_000} MB.")
        packed += kind in (b"iCCP", b"zTXt", b"iTXt")
        if packed > MAX_PACKED:
            raise RefusedError(Refusal.METADATA_TOO_LARGE, f"It has more than {MAX_PACKED} profiles and texts.")
        position += length + 12
        if kind == b"IEND":
            ends_early = False
            break
    else:
        raise RefusedError(Refusal.METADATA_TOO_LARGE, f"It has more than {MAX_BLOCKS:,} chunks.")
    # Four bytes, and as many again where grey with alpha or 16 bits have to be converted at full size.
    return Header(width=width, height=height, bytes_per_pixel=8, frames=frames, ends_early=ends_early)


def _gif(data: bytes) -> Header:
    """The canvas, widened by the first frame as the decoder does, and the number of frames."""
    width, height = _little(data, 6, 2), _little(data, 8, 2)
    position = 13 + _gif_palette(data[10])
    frames, blocks, ends_early = 0, 0, True
    while position < len(data) and blocks < 5 * MAX_BLOCKS:
        kind = data[position]
        if kind == 0x3B:
            ends_early = False
            break
        if kind == 0x21:
            position += 2
        elif kind == 0x2C:
            if position + 10 > len(data):
                break
            frames += 1
            if frames == 1:
                width = max(width, _little(data, position + 1, 2) + _little(data, position + 5, 2))
                height = max(height, _little(data, position + 3, 2) + _little(data, position + 7, 2))
            position += 11 + _gif_palette(data[position + 9])
        else:
            position += 1
            blocks += 1
            continue
        while position < len(data) and (size := data[position]):
            position += size + 1
            blocks += 1
        position += 1
        blocks += 1
        if not frames and blocks > MAX_BLOCKS:
            break
    if not frames and blocks > MAX_BLOCKS:
        raise RefusedError(Refusal.METADATA_TOO_LARGE, f"More than {MAX_BLOCKS:,} blocks precede the picture.")
    if not frames:
        raise RefusedError(Refusal.TRUNCATED if ends_early else Refusal.CORRUPT, "It has no picture.")
    return Header(width=width, height=height, bytes_per_pixel=5, frames=frames, ends_early=ends_early)


def _gif_palette(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(data: bytes) -> Header:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = 1 + _little(data, 24, 3), 1 + _little(data, 27, 3)
    elif kind == b"VP8L":
        bits = _little(data, 21, 4)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = _little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF
    else:
        raise RefusedError(Refusal.CORRUPT if len(data) > 16 else Refusal.TRUNCATED, "It has no picture.")
    frames, position = 0, 12
    for _ in range(MAX_BLOCKS):
        if position + 8 > len(data):
            break
        frames += data[position : position + 4] == b"ANMF"
        length = _little(data, position + 4, 4)
        position += 8 + length + (length & 1)
    else:
        raise RefusedError(Refusal.METADATA_TOO_LARGE, f"It has more than {MAX_BLOCKS:,} chunks.")
    ends_early = _little(data, 4, 4) + 8 > len(data) or position > len(data) + 1
    animated = frames > 0 or (kind == b"VP8X" and bool(data[20] & 2))
    return Header(
        width=width,
        height=height,
        bytes_per_pixel=_webp_memory(animated),
        frames=max(1, frames),
        ends_early=ends_early,
    )


def _webp_memory(animated: bool) -> float:
    if not animated:
        from image_pipeline.webp import is_here

        if is_here():
            return 10  # one buffer, and a lossless picture as libwebp keeps it
    # Pillow decodes onto a canvas, keeps the previous canvas, and copies the result twice.
    return 17


def boxes_end_early(data: bytes) -> bool:
    """Whether the top-level boxes of an ISO base media file (AVIF) reach beyond its last byte."""
    position = 0
    for _ in range(MAX_BLOCKS):
        if position + 8 > len(data):
            break
        size = _big(data, position, 4)
        if size == 1 and position + 16 <= len(data):
            size = _big(data, position + 8, 8)
        if size < 8:
            return False  # 0: the box reaches to the end, wherever that is
        position += size
    return position > len(data)


def check_tiff(data: bytes, max_pixels: int) -> None:
    """Raise RefusedError for a TIFF whose directory makes its reader build millions of objects, or one huge tile."""
    order: Literal["little", "big"] = "little" if data.startswith(b"II") else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    # BigTIFF has the version 43, and twice the width in most places.
    count_size, word = (8, 8) if number(2, 2) == 43 else (2, 4)
    start, tile = number(word, word), {322: 1, 323: 1}
    count, start = number(start, count_size), start + count_size
    entry = 4 + 2 * word
    for at in range(start, min(start + entry * min(count, MAX_BLOCKS), len(data)), entry):
        tag, kind, values = number(at, 2), number(at + 2, 2), number(at + 4, word)
        # Bytes, text and undefined values stay one object, all others become one each.
        if values > MAX_BLOCKS and kind not in (1, 2, 7):
            raise RefusedError(Refusal.METADATA_TOO_LARGE, f"A tag has more than {MAX_BLOCKS:,} values.")
        if tag in tile:
            tile[tag] = max(tile[tag], number(at + 4 + word, {3: 2, 8: 2, 16: 8}.get(kind, 4)))
    if tile[322] * tile[323] > max_pixels:
        raise RefusedError(Refusal.TOO_MANY_PIXELS, f"A tile of it is {tile[322]} × {tile[323]}.")


_READERS: dict[str, Callable[[bytes], Header]] = {"png": _png, "gif": _gif, "webp": _webp}


def _big(data: bytes, position: int, size: int) -> int:
    if position + size > len(data):
        raise IndexError
    return int.from_bytes(data[position : position + size], "big")


def _little(data: bytes, position: int, size: int) -> int:
    if position + size > len(data):
        raise IndexError
    return int.from_bytes(data[position : position + size], "little")
