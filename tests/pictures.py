"""Pictures made by code: everything that must work, with the facts to check, and everything that must be refused.

A good picture shows four corners, red, green, blue and yellow (clockwise from the top left), around a grey middle, so
that it proves by itself whether it is upright, mirrored, cropped or in the wrong colours. Pictures without colour show
the corners as four greys.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from random import Random
from typing import Any

from PIL import Image, ImageCms, ImageDraw, ImageFilter

from image_pipeline.icc import write_profile
from image_pipeline.record import Refusal
from imgpipe.icc import display_p3

RGB = tuple[int, int, int]

CORNERS: tuple[RGB, RGB, RGB, RGB] = ((220, 40, 40), (40, 180, 60), (40, 70, 210), (230, 210, 50))
"""Top left, top right, bottom right, bottom left."""

GREYS: tuple[RGB, RGB, RGB, RGB] = ((30, 30, 30), (90, 90, 90), (150, 150, 150), (210, 210, 210))
MIDDLE: RGB = (128, 128, 128)
MARKER = b"imgpipe-must-not-leak-this"
"""Planted in every metadata field of `everything_planted`; no output may hold it."""


@dataclass(frozen=True)
class Good:
    """A picture that ends READY. Size as displayed; `corners` in sRGB, None where there is too little to see."""

    make: Callable[[], bytes]
    format: str
    width: int = 1200
    height: int = 800
    corners: tuple[RGB, RGB, RGB, RGB] | None = CORNERS
    tolerance: int = 12
    frames: int = 1
    alpha: bool = False
    formats: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bad:
    """A file that ends FAILED with `refusal`; `formats` must be switched on for it to get that far."""

    make: Callable[[], bytes]
    refusal: Refusal
    formats: tuple[str, ...] = field(default=())


def scene(width: int = 1200, height: int = 800, corners: tuple[RGB, ...] = CORNERS) -> Image.Image:
    """The test picture, upright: four corners a third wide and high around the middle."""
    image = Image.new("RGB", (width, height), MIDDLE)
    draw = ImageDraw.Draw(image)
    third = (max(1, width // 3), max(1, height // 3))
    for colour, left, top in zip(corners, (0, 1, 1, 0), (0, 0, 1, 1), strict=True):
        x, y = left * (width - third[0]), top * (height - third[1])
        draw.rectangle((x, y, x + third[0] - 1, y + third[1] - 1), fill=colour)
    return image


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


_AS_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def exif(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def oriented(orientation: int, form: str = "JPEG", width: int = 1200, height: int = 800) -> bytes:
    """A picture that shows upright at `width` × `height` once its EXIF orientation is followed."""
    turn = _AS_STORED[orientation]
    image = scene(width, height)
    return saved(image if turn is None else image.transpose(turn), form, exif=exif(orientation))


def _wide(icc: bytes) -> bytes:
    """The scene in the numbers of an RGB profile: its colours are the same sRGB colours, written differently."""
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(scene(), srgb, ImageCms.ImageCmsProfile(BytesIO(icc)))
    assert converted is not None
    return saved(converted, "JPEG", quality=92, icc_profile=icc)


DISPLAY_P3 = display_p3()
ADOBE_RGB_COLORANTS = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
ADOBE_RGB_CURVE = b"curv\0\0\0\0\0\0\0\1\x02\x33"
ADOBE_RGB = write_profile("Adobe RGB (1998)", ADOBE_RGB_COLORANTS, (ADOBE_RGB_CURVE,) * 3)


def raw_profile(tags: dict[bytes, bytes], kind: bytes = b"mntrRGB XYZ ", creator: bytes = b"none") -> bytes:
    """An ICC profile (v2) of any tags; `kind` is its class, colour space and connection space."""
    directory, body, start = b"", b"", 132 + 12 * len(tags)
    for tag, value in tags.items():
        directory += tag + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = struct.pack(">I4sI12s12s4s", start + len(body), b"none", 0x02400000, kind, bytes(12), b"acsp")
    head += bytes(28) + struct.pack(">iii", 63190, 65536, 54061) + creator[:4] + bytes(44)
    return head + struct.pack(">I", len(tags)) + directory + body


def talkative_profile() -> bytes:
    """Adobe RGB as a calibration tool writes it: MARKER is in its texts, in private tags and behind its numbers."""
    text = b"desc\0\0\0\0" + struct.pack(">I", len(MARKER) + 1) + MARKER + bytes(79)
    wide = MARKER.decode().encode("utf-16-be")
    tags = {
        b"desc": text,
        b"cprt": b"text\0\0\0\0" + MARKER + b"\0",
        b"dmdd": text,
        b"mmod": b"mmod\0\0\0\0" + MARKER,
        b"dmnd": b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(wide), 28) + wide,
        b"meta": b"dict\0\0\0\0" + MARKER,
        b"chad": b"sf32\0\0\0\0" + struct.pack(">9i", *(65536, 0, 0, 0) * 2, 65536) + MARKER,
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061) + MARKER,
    }
    for colour, vector in zip((b"r", b"g", b"b"), ADOBE_RGB_COLORANTS, strict=True):
        numbers = struct.pack(">3i", *(round(value * 65536) for value in vector))
        tags[colour + b"XYZ"] = b"XYZ " + MARKER[:4] + numbers + MARKER
        tags[colour + b"TRC"] = ADOBE_RGB_CURVE + MARKER
    return raw_profile(tags, creator=MARKER) + MARKER


def cmyk_profile() -> bytes:
    """A CMYK profile (ICC v2, 3^4 table to Lab) whose inks are off the naive ones: ignoring it shows."""
    grid = 3
    table = b""
    for index in range(grid**4):
        c, m, y, k = (index // grid**place % grid / (grid - 1) for place in (3, 2, 1, 0))
        lightness = (1 - k) * (100 - 45 * c - 45 * m - 10 * y) * 0.9 + 5
        a, b = (1 - k) * (60 * m - 40 * c), (1 - k) * (70 * y - 45 * c)
        lab = (max(0, lightness) / 100 * 0xFF00, (a + 128) * 256, (b + 128) * 256)
        table += struct.pack(">3H", *(min(0xFFFF, max(0, round(value))) for value in lab))
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    ramp = struct.pack(">2H", 0, 65535)
    lut = b"mft2\0\0\0\0" + bytes((4, 3, grid, 0)) + identity + struct.pack(">2H", 2, 2) + ramp * 4 + table + ramp * 3
    text = b"Press\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061),
        b"A2B0": lut,
        # The way back is not used here; lcms wants a printer profile to have its table.
        b"A2B1": lut,
    }
    return raw_profile(tags, b"prtrCMYKLab ")


def _cmyk(icc: bytes | None = None) -> bytes:
    return saved(scene().convert("CMYK"), "JPEG", quality=92, **({"icc_profile": icc} if icc else {}))


def _grey16() -> bytes:
    """16 bits with full range: a conversion that clips instead of scaling turns it white."""
    grey = scene(corners=GREYS).convert("L")
    wide = Image.frombytes("I;16", grey.size, b"".join(bytes((value, value)) for value in grey.tobytes()))
    return saved(wide, "PNG", compress_level=1)


def _ring(image: Image.Image) -> Image.Image:
    """Alpha for `image`: opaque, but for a transparent disc in the middle."""
    alpha = Image.new("L", image.size, 255)
    width, height = image.size
    ImageDraw.Draw(alpha).ellipse((width * 3 // 8, height * 3 // 8, width * 5 // 8, height * 5 // 8), fill=0)
    return alpha


def _rgba() -> Image.Image:
    image = scene()
    image.putalpha(_ring(image))
    return image


def _la() -> bytes:
    grey = scene(corners=GREYS).convert("L")
    return saved(Image.merge("LA", (grey, _ring(grey))), "PNG")


def _palette() -> bytes:
    flat = scene().quantize(8)
    hole = flat.getpixel((600, 400))
    return saved(flat, "PNG", transparency=hole)


def _animation() -> bytes:
    frames = [scene(600, 400), scene(600, 400).transpose(Image.Transpose.ROTATE_180), Image.new("RGB", (600, 400))]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)


def _mpo() -> bytes:
    return saved(scene(), "MPO", save_all=True, append_images=[scene(400, 300, GREYS)])


def _line() -> bytes:
    return saved(Image.linear_gradient("L").resize((20000, 1)).convert("RGB"), "PNG")


GOOD: dict[str, Good] = {
    **{f"orientation {n}": Good(lambda n=n: oriented(n), "jpeg") for n in range(1, 9)},  # type: ignore[misc]
    "progressive JPEG": Good(lambda: saved(scene(), "JPEG", progressive=True), "jpeg"),
    "grey JPEG": Good(lambda: saved(scene(corners=GREYS).convert("L"), "JPEG"), "jpeg", corners=GREYS),
    "CMYK JPEG": Good(_cmyk, "jpeg"),
    "CMYK JPEG with a profile": Good(lambda: _cmyk(cmyk_profile()), "jpeg", corners=None),
    "Display P3": Good(lambda: _wide(DISPLAY_P3), "jpeg"),
    "Adobe RGB": Good(lambda: _wide(ADOBE_RGB), "jpeg"),
    "MPO": Good(_mpo, "jpeg"),
    "PNG": Good(lambda: saved(scene(), "PNG"), "png"),
    "PNG called .jpg": Good(lambda: saved(scene(900, 600), "PNG"), "png", 900, 600),
    "16-bit grey PNG": Good(_grey16, "png", corners=GREYS),
    "palette PNG with transparency": Good(_palette, "png", alpha=True),
    "grey PNG with alpha": Good(_la, "png", corners=GREYS, alpha=True),
    "RGBA PNG": Good(lambda: saved(_rgba(), "PNG"), "png", alpha=True),
    "two-colour PNG": Good(
        lambda: saved(scene(corners=((0,) * 3, (255,) * 3, (0,) * 3, (255,) * 3)).convert("1"), "PNG"),
        "png",
        corners=((0,) * 3, (255,) * 3, (0,) * 3, (255,) * 3),
    ),  # type: ignore[arg-type]
    "WebP": Good(lambda: saved(scene(), "WEBP", quality=95), "webp"),
    "WebP with alpha": Good(lambda: saved(_rgba(), "WEBP", quality=95), "webp", alpha=True),
    "animated GIF": Good(_animation, "gif", 600, 400, frames=3),
    "1 × 1": Good(lambda: saved(Image.new("RGB", (1, 1), CORNERS[0]), "PNG"), "png", 1, 1, corners=(CORNERS[0],) * 4),
    "20000 × 1": Good(_line, "png", 20000, 1, corners=None),
    "AVIF": Good(lambda: saved(scene(), "AVIF", quality=95), "avif", formats=("avif",)),
    "TIFF": Good(lambda: saved(scene(), "TIFF", compression="tiff_lzw"), "tiff", formats=("tiff",)),
    "BMP": Good(lambda: saved(scene(), "BMP"), "bmp", formats=("bmp",)),
}
"""By a name for people. Those with `formats` need the format switched on."""


def in_srgb(image: Image.Image) -> Image.Image:
    """As a colour-managed viewer shows it."""
    if icc := image.info.get("icc_profile"):
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        made = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
        assert made is not None
        return made
    return image.convert("RGB")


def strangest_corner(image: Image.Image, good: Good) -> int:
    """How many levels, at most, a channel of a corner is off: 0 is a perfect copy, upright and in its colours."""
    assert good.corners
    image = in_srgb(image)
    width, height = image.size
    x, y = width // 8, height // 8
    places = ((x, y), (width - 1 - x, y), (width - 1 - x, height - 1 - y), (x, height - 1 - y))
    found = [image.getpixel(place) for place in places]
    return max(
        abs(a - b) for seen, made in zip(found, good.corners, strict=True) for a, b in zip(seen, made, strict=False)
    )  # type: ignore[arg-type]


def everything_planted(form: str) -> bytes:
    """A photo whose every metadata field, comment and tail holds MARKER; `form` is JPEG, PNG, WEBP, GIF or TIFF."""
    tags = Image.Exif()
    tags[0x010E] = tags[0x013B] = tags[0x8298] = MARKER.decode()
    tags.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + MARKER
    tags.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 29: MARKER.decode()})
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + MARKER + b"</x:xmpmeta>"
    icc = talkative_profile()
    options: dict[str, Any] = {"exif": tags.tobytes(), "xmp": xmp, "icc_profile": icc}
    if form == "JPEG":
        options["comment"] = MARKER
    elif form == "PNG":
        from PIL.PngImagePlugin import PngInfo

        text = PngInfo()
        text.add_text("Comment", MARKER.decode())
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        options = {"exif": tags.tobytes(), "pnginfo": text, "icc_profile": icc}
    elif form == "GIF":
        options = {"comment": MARKER}
    elif form == "TIFF":
        options = {"tiffinfo": {270: MARKER.decode(), 315: MARKER.decode(), 700: xmp}, "icc_profile": icc}
    return saved(scene(), form, **options) + MARKER


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *extra: bytes, colour: int = 2, pixels: bytes | None = None) -> bytes:
    """A PNG from parts; without `pixels`, its lines are all zero, and packed without ever being in memory at once."""
    if pixels is None:
        pixels = _packed_zeros((1 + width * {0: 1, 2: 3, 6: 4}[colour]) * height)
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _packed_zeros(count: int) -> bytes:
    """zlib's stream of `count` zero bytes, put together from one packed block that is repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    whole, rest = divmod(count, 1 << 20)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    end = packer.compress(bytes(rest)) + packer.flush()
    return b"\x78\x01" + block * whole + end + struct.pack(">I", (count % 65521) << 16 | 1)


def webp_claiming(width: int = 13376, height: int = 13376) -> bytes:
    """A valid lossless WebP of one colour, in 34 bytes, whatever it claims to measure."""
    small = saved(Image.new("RGB", (1, 1)), "WEBP", lossless=True)
    bits = (width - 1) | (height - 1) << 14
    return small[:21] + struct.pack("<I", bits) + small[25:]


def animated_webp_claiming(width: int, height: int) -> bytes:
    """A valid WebP of two small frames on a canvas of that size."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    small = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    return small[:24] + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little") + small[30:]


def many_scans(scans: int = 2000, side: int = 4000) -> bytes:
    """A small progressive JPEG of many pixels whose last scan, a refinement, is repeated."""
    file = saved(Image.new("L", (side, side), 99), "JPEG", progressive=True)
    last = file.rindex(b"\xff\xda")
    table = file.rindex(b"\xff\xc4", 0, last)
    return file[:table] + file[table:-2] * (scans - file.count(b"\xff\xda") + 1) + b"\xff\xd9"


def large_jpeg(width: int = 10_000, height: int = 5_000) -> bytes:
    """A valid grey JPEG of any size, made without ever holding its pixels: every block of it is the same."""
    small = saved(Image.new("L", (64, 64), 128), "JPEG")
    scan = small.index(b"\xff\xda")
    frame = small.index(b"\xff\xc0")
    head = small[: frame + 5] + struct.pack(">2H", height, width) + small[frame + 9 : scan + 10]
    # Level 128 is a zero everywhere: two bits for "no difference", four for "end of block", 4 blocks in 3 bytes.
    blocks = -(-width // 8) * -(-height // 8)
    return head + bytes((0b00101000, 0b10100010, 0b10001010)) * (blocks // 4 + 1) + b"\xff\xd9"


def gif_of_frames(frames: int = 100_000, side: int = 64) -> bytes:
    """A GIF with that many frames of one pixel each."""
    frame = b"\x2c" + struct.pack("<4HB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    first = saved(Image.new("P", (side, side)), "GIF")
    return first[:-1] + frame * (frames - 1) + b"\x3b"


def tiff_of(tags: dict[int, tuple[int, int, int]], order: str, big: bool) -> bytes:
    """A TIFF's first directory and nothing else: type, number of values and value (or its place) by tag."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + ("2HQQ" if big else "IH"), *((8, 0, 16) if big else (8,)), len(tags))
    for tag, (kind, count, value) in tags.items():
        place = struct.pack(order + ("H" if kind == 3 else "Q" if big and count > 1 else "I"), value)
        head += struct.pack(order + ("2HQ" if big else "2HI"), tag, kind, count) + place.ljust(8 if big else 4, b"\0")
    return head + bytes(8)


def _cut(data: bytes, share: float = 0.5) -> bytes:
    return data[: int(len(data) * share)]


def _damaged_jpeg() -> bytes:
    """The quantisation tables are gone: no decoder can make sense of the rest."""
    data = saved(scene(), "JPEG")
    start = data.index(b"\xff\xdb")
    return data[:start] + b"\xff\xdb\x00\x03\x00" + data[start + 69 :]


SVG = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9'/></svg>"

BAD: dict[str, Bad] = {
    "zero bytes": Bad(lambda: b"", Refusal.EMPTY),
    "50 MB of zeros": Bad(lambda: bytes(50_000_001), Refusal.TOO_LARGE),
    "text called .jpg": Bad(lambda: b"Dear all,\nplease find the picture attached.\n", Refusal.UNSUPPORTED_TYPE),
    "SVG": Bad(lambda: SVG, Refusal.UNSUPPORTED_TYPE),
    "HEIC": Bad(lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64), Refusal.UNSUPPORTED_TYPE),
    "TIFF that is off": Bad(lambda: saved(scene(60, 40), "TIFF"), Refusal.UNSUPPORTED_TYPE),
    "random bytes": Bad(lambda: bytes(range(1, 256)) * 9, Refusal.UNSUPPORTED_TYPE),
    "truncated JPEG": Bad(lambda: _cut(saved(scene(), "JPEG")), Refusal.TRUNCATED),
    "truncated progressive JPEG": Bad(lambda: _cut(saved(scene(), "JPEG", progressive=True)), Refusal.TRUNCATED),
    "JPEG cut in its header": Bad(lambda: saved(scene(), "JPEG")[:200], Refusal.TRUNCATED),
    "truncated PNG": Bad(lambda: _cut(saved(scene(), "PNG")), Refusal.TRUNCATED),
    "truncated GIF": Bad(lambda: _cut(_animation(), 0.1), Refusal.TRUNCATED),
    "truncated WebP": Bad(lambda: _cut(saved(scene(), "WEBP")), Refusal.TRUNCATED),
    "truncated AVIF": Bad(lambda: _cut(saved(scene(), "AVIF"), 0.9), Refusal.TRUNCATED, formats=("avif",)),
    "damaged JPEG": Bad(_damaged_jpeg, Refusal.CORRUPT),
    "PNG with a wrong checksum": Bad(lambda: png(8, 8)[:-20] + b"\0\0\0\0" + png(8, 8)[-16:], Refusal.CORRUPT),
    "34-byte WebP of 178 MP": Bad(webp_claiming, Refusal.TOO_MANY_PIXELS),
    "13376² PNG": Bad(lambda: png(13376, 13376, colour=6), Refusal.TOO_MANY_PIXELS),
    "thin PNG, 65500 wide": Bad(lambda: png(65500, 20), Refusal.TOO_MANY_PIXELS),
    "animated WebP over its memory": Bad(lambda: animated_webp_claiming(7000, 7000), Refusal.TOO_MANY_PIXELS),
    "JPEG of 178 MP": Bad(lambda: _resized_header(13376, 13376), Refusal.TOO_MANY_PIXELS),
    "GIF frame beyond its canvas": Bad(lambda: _wide_frame(), Refusal.TOO_MANY_PIXELS),
    "JPEG of 2000 scans": Bad(many_scans, Refusal.TOO_MANY_SCANS),
    "PNG with a zTXt bomb": Bad(
        lambda: png(64, 64, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(40_000_000), 9))),
        Refusal.METADATA_TOO_LARGE,
    ),
    "JPEG with 20 MB of EXIF": Bad(
        lambda: b"\xff\xd8" + (b"\xff\xe1\xff\xffExif\0\0" + bytes(65527)) * 300 + saved(scene(60, 40), "JPEG")[2:],
        Refusal.METADATA_TOO_LARGE,
    ),
    "JPEG without components": Bad(lambda: _without_components(), Refusal.CORRUPT),
    "JPEG with two frame headers": Bad(
        lambda: jpeg_with(segment(0xC0, b"\x08\0\x28\0\x3c\1\1\x11\0")), Refusal.CORRUPT
    ),
    "GIF without a picture": Bad(lambda: saved(scene(8, 8), "GIF")[:13] + bytes(768) + b";", Refusal.CORRUPT),
    "PNG of 200,000 chunks": Bad(lambda: png(8, 8, chunk(b"teSt", b"") * 200_000), Refusal.METADATA_TOO_LARGE),
}


def _resized_header(width: int, height: int) -> bytes:
    data = bytearray(saved(scene(64, 64), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">2H", height, width)
    return bytes(data)


def _without_components() -> bytes:
    data = saved(scene(64, 64), "JPEG", progressive=True)
    start = data.index(b"\xff\xc2")
    return data[:start] + segment(0xC2, data[start + 4 : start + 9] + b"\0") + data[start + 19 :]


def _wide_frame() -> bytes:
    """The canvas is small; the first frame says it is not."""
    data = bytearray(saved(Image.new("P", (8, 8)), "GIF"))
    frame = data.rindex(b"\x2c" + struct.pack("<4H", 0, 0, 8, 8))
    data[frame + 5 : frame + 9] = struct.pack("<2H", 29999, 29999)
    return bytes(data)


def jpeg_with(*segments: bytes, **options: Any) -> bytes:
    """A small JPEG with `segments` right behind its first two bytes."""
    return b"\xff\xd8" + b"".join(segments) + saved(scene(60, 40), "JPEG", **options)[2:]


def segment(code: int, body: bytes) -> bytes:
    """A JPEG segment."""
    return bytes((0xFF, code)) + struct.pack(">H", len(body) + 2) + body


def packed_png(kind: bytes, head: bytes, byte: bytes, count: int) -> bytes:
    """A PNG with `count` chunks that unpack to 1 MB each."""
    return png(8, 8, chunk(kind, head + zlib.compress(byte * 1_000_000, 9)) * count)


def after_first_scan(tail: bytes) -> bytes:
    """A progressive JPEG whose first scan is followed by more scans than any, and by `tail`."""
    data = saved(scene(60, 40), "JPEG", progressive=True)
    scan = data.index(b"\xff\xda")
    return data[: scan + 12] + tail + b"\xff\xda" * 200


def wide_curve() -> bytes:
    """A profile of 3.8 MB whose three curves are one of 1.9 million points."""
    count = 1_900_000
    curve = b"curv\0\0\0\0" + struct.pack(">I", count) + bytes(2 * count)
    return write_profile("", ADOBE_RGB_COLORANTS, (curve,) * 3)


SLOW: dict[str, Callable[[], bytes]] = {
    "Exif in 50,000 segments": lambda: jpeg_with(segment(0xE1, b"Exif\0\0" + bytes(154)) * 50_000),
    "Exif hidden in segments that have no length": lambda: jpeg_with(
        segment(0xF0, segment(0xE1, b"Exif\0\0" + bytes(154)) * 390) * 130
    ),
    "5 million components": lambda: jpeg_with(segment(0xC0, b"\x08\0\x28\0\x3c\x03" + bytes(64_998)) * 240),
    "45 MB of padding between scans": lambda: after_first_scan(b"\xff" * 45_000_000),
    "11 million empty tables between scans": lambda: after_first_scan(b"\xff\xc4\0\2" * 11_000_000),
    "4,000 profiles": lambda: packed_png(b"iCCP", b"p\0\0", b"\0", 4000),
    "4,000 texts that are no UTF-8": lambda: packed_png(b"iTXt", b"k\0\1\0\0\0", b"\xff", 4000),
    "4,000 texts without a key": lambda: packed_png(b"zTXt", b"\0\0", b"\0", 4000),
    "3 million chunks behind the end": lambda: png(8, 8, pixels=b"x") + chunk(b"teSt", b"") * 3_000_000,
    "45 MB of junk in a GIF": lambda: saved(scene(8, 8), "GIF")[:13] + bytes(768) + b"\1" * 45_000_000,
    "3 million comments in a GIF": lambda: saved(scene(8, 8), "GIF").replace(b",", b"!\xfe\1a\0" * 3_000_000 + b",", 1),
    "100,000 chunks of a WebP": lambda: _with_chunks(saved(scene(8, 8), "WEBP"), b"teSt\0\0\0\0" * 99_000),
}
"""Files of at most 50 MB that once took a decoder, or the guard, many seconds."""


def wrecked(data: bytes, random: Random) -> bytes:
    """`data` after one to four accidents, most of them where the headers are."""
    for _ in range(random.randint(1, 4)):
        size = max(1, len(data))
        at = min(int(size * random.random() ** random.choice((1, 3))), size - 1)
        part = data[at : at + random.randint(1, 300)]
        where = random.randint(0, size)
        data = random.choice(
            (
                data[:at] + bytes((random.randrange(256),)) + data[at + 1 :],
                data[:at] + random.choice((b"\0\0", b"\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff")) + data[at + 2 :],
                data[:at],
                data[:at] + data[at + len(part) :],
                data[:at] + part * random.choice((2, 50)) + data[at + len(part) :],
                data[:where] + part + data[where:],
            )
        )
    return data


def _with_chunks(webp: bytes, more: bytes) -> bytes:
    return webp[:4] + struct.pack("<I", len(webp) - 8 + len(more)) + webp[8:] + more


def noisy(width: int, height: int) -> Image.Image:
    """The scene with grain, so that it compresses as a photograph does. The grain is not the same twice."""
    grain = Image.effect_noise((width // 2 + 1, height // 2 + 1), 30).resize((width, height)).convert("RGB")
    return Image.blend(scene(width, height), grain, 0.2).filter(ImageFilter.SMOOTH)
