"""PNG in bands: unpacked by ISA-L, unfiltered by libspng, and narrowed before the next band comes.

ISA-L unpacks in half the time that zlib takes, and libspng unfilters in a third of Pillow's. Every pixel is what Pillow
makes of it, and most pictures are never held at their full size. A mode that libspng is not asked for is unfiltered by
Pillow's own codec, which takes what ISA-L gives as a stream of stored blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from PIL import Image

from image_pipeline.resize import lanczos, premultiply
from image_pipeline.unfilter import BLOCK, MODES, Bands, libspng, stored

try:
    from isal import igzip_lib, isal_zlib
except ImportError:
    igzip_lib = None  # type: ignore[assignment]

_BAND = 8_000_000
"""Bytes of rows that are worked on at once: few, for they are held three times, and yet enough.

For each band, the filter of a resize is computed anew, which takes most of a millisecond for a photo of 12 megapixels.
"""

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel, by the header's colour type."""

_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
_BEHIND = (b"tEXt", b"tIME", b"IEND")
"""Chunks that may follow the data: what Pillow would make of any other, it has to tell itself."""


class _UnusualError(Exception):
    """Something that Pillow had better judge."""


def decode_png(image: Any, data: bytes, wanted: tuple[int, int]) -> Image.Image | None:
    """The pixels of `image`, which Pillow opened from `data` and has not loaded, at `wanted` or their own lesser size.

    The mode is L, RGB or RGBa. None where these are not its modes, or something is unusual: then `image` has to be
    loaded. That is done already, or it is up to Pillow, where the file has a flaw or ISA-L is not here.
    """
    if igzip_lib is None or image.info.get("interlace") or len(image.tile) != 1:
        return None
    (tile,) = image.tile
    rows = _Rows(data, image.width)
    try:
        known = image.mode in MODES and tile.args in (image.mode, f"{image.mode};16B")
        if known and "transparency" not in image.info and (spng := libspng()):
            return _narrowed(spng, image, rows, wanted)
        _load(image, tile.args, rows)
    except MemoryError:
        raise
    except Exception:
        # The verdict on a damaged file, and its words, are Pillow's.
        return None
    return None


def _narrowed(spng: Any, image: Any, rows: _Rows, wanted: tuple[int, int]) -> Image.Image:
    """The picture at `wanted`: every band is narrowed as it comes, and all of it lowered at the end."""
    mode, (width, height) = image.mode, image.size
    narrow, low = min(width, wanted[0]), min(height, wanted[1])
    made = Image.new("RGBa" if mode == "RGBA" else mode, (narrow, height), None)  # every pixel will be written
    step = min(height, max(1, _BAND // rows.row))
    bands = Bands(spng, width, step, mode)
    for top in range(0, height, step):
        count = min(step, height - top)
        filtered = rows.read(count) if rows.depth == 8 else rows.read_upper(count)
        band = bands.band(count, filtered)
        plain = premultiply(band) if mode == "RGBA" else band
        made.paste(lanczos(plain, (narrow, count)) if narrow < width else plain, (0, top))
    rows.check_end()
    return made if low == height else lanczos(made, (narrow, low))


def _load(image: Any, rawmode: str, rows: _Rows) -> None:
    """What `image.load()` does, which has nothing left to do afterwards."""
    image.load_prepare()
    codec = _Codec(image, rawmode)
    for piece in rows.read(image.height):
        codec.feed(piece)
    codec.check_full()
    rows.check_end()
    image.tile = []


class _Codec:
    """Pillow's codec for PNG, fed with rows that are unpacked already."""

    def __init__(self, image: Any, rawmode: str) -> None:
        self._codec = Image._getdecoder(image.mode, "zip", rawmode)
        self._codec.setimage(image.im, (0, 0, *image.size))
        self._codec.decode(b"\x78\x01")
        self._full = False

    def feed(self, filtered: bytes) -> None:
        """Take a piece of the rows, each of which stands behind the number of its filter."""
        block = b"".join(stored(filtered))
        taken, error = self._codec.decode(block)
        if error or 0 <= taken < len(block):
            raise _UnusualError("A row is damaged.")
        self._full = taken < 0

    def check_full(self) -> None:
        """Raise _UnusualError where there were fewer rows than the image has."""
        if not self._full:
            raise _UnusualError("Rows are missing.")


class _Rows:
    """The filtered rows of a PNG, unpacked as they are asked for, and not a byte more.

    `row` is the bytes of one with the number of its filter, `depth` the bits of a sample.
    """

    def __init__(self, data: bytes, width: int) -> None:
        self.depth = data[24]
        self.row = 1 + (width * _CHANNELS[data[25]] * self.depth + 7) // 8
        self._inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_ZLIB)
        self._packed = _packed(data)

    def read(self, count: int) -> Iterator[bytes]:
        """The next `count` rows, in pieces of any size."""
        size = count * self.row
        while size:
            piece = self._unpack(min(size, BLOCK))
            size -= len(piece)
            yield piece

    def read_upper(self, count: int) -> Iterator[bytes]:
        """The next `count` rows of 16-bit samples as rows of their upper 8 bits, in one piece.

        They are filtered as if they had never been more: a filter looks at one byte of a sample by itself.
        """
        rows = b"".join(self.read(count))
        starts = range(0, len(rows), self.row)
        yield b"".join(part for at in starts for part in (rows[at : at + 1], rows[at + 1 : at + self.row : 2]))

    def check_end(self) -> None:
        """Raise _UnusualError where the stream, or the file, does not end behind the last row."""
        while not self._inflater.eof:
            if self._unpack(1):
                raise _UnusualError("There are more rows than the header says.")
        if self._inflater.unused_data or any(self._packed):
            raise _UnusualError("There is more behind the stream.")

    def _unpack(self, most: int) -> bytes:
        inflater = self._inflater
        hungry = inflater.needs_input
        packed = next(self._packed, None) if hungry else b""
        if packed is None:
            raise _UnusualError("The stream has no end.")
        piece: bytes = inflater.decompress(packed, most)  # raises EOFError behind the end
        if not (piece or hungry or inflater.needs_input or inflater.eof):
            raise _UnusualError("The stream is stuck.")
        return piece


def _packed(data: bytes) -> Iterator[memoryview]:
    """The data chunks of a still picture, each checked, in small pieces; raises _UnusualError for a rare structure."""
    view, position, kind, begun, over = memoryview(data), 8, b"", False, False
    while kind != b"IEND":
        kind, start = data[position + 4 : position + 8], position + 8
        end = start + int.from_bytes(data[position : position + 4], "big")
        position = end + 4
        if position > len(data) or kind in _ANIMATION:
            raise _UnusualError("It is cut off, or an animation.")
        if kind != b"IDAT":
            over = begun
            if over and kind not in _BEHIND:
                raise _UnusualError("Something follows the pixels.")
            continue
        if over or isal_zlib.crc32(view[start - 4 : end]) != int.from_bytes(view[end:position], "big"):
            raise _UnusualError("A data chunk is damaged, or behind others.")
        begun = True
        for at in range(start, end, BLOCK):
            yield view[at : min(end, at + BLOCK)]
