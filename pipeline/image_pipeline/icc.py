"""ICC profiles, as ICC.1:2022 lays them out: the facts that colours hang on are read, and written into a clean profile.

A profile may name its owner, the serial number of a display and more: nothing but numbers ever goes from one to the
other.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass

MAX_PROFILE = 4_000_000
"""Bytes of the largest profile that is looked at; those of printers have two to three million."""

MAX_POINTS = 4096
"""Points of the longest tone curve that is computed here, the most that profilers write."""

Curve = Callable[[float], float]
Vector = tuple[float, float, float]

# Red, green and blue in XYZ under D50, as every sRGB profile states them.
_SRGB_COLORANTS: tuple[Vector, ...] = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7142))
_D50: Vector = (0.9642, 1.0, 0.8249)
_MAX_TAG = 12 + 2 * MAX_POINTS
_PARAMETERS = (1, 3, 4, 5, 7)  # of a parametric curve, by its kind


@dataclass(frozen=True, slots=True)
class Profile:
    """A well-formed profile: the bytes of the file, its colour space as four letters, and its name where well known.

    `colorants` are red, green and blue in XYZ under D50 (none for grey), `curves` the tone curves, from 0..1 to linear
    0..1, and `clean` is a profile of these facts alone. They are empty where only a colour library can do: for CMYK,
    for tables, and for curves that are damaged or longer than MAX_POINTS.
    """

    data: bytes
    space: str
    name: str
    colorants: tuple[Vector, ...] = ()
    curves: tuple[Curve, ...] = ()
    clean: bytes = b""

    @property
    def is_srgb(self) -> bool:
        """Whether its numbers mean what sRGB's do; names are not asked, many profiles of cameras bear none."""
        if not self.curves or any(
            abs(a - b) >= 0.004
            for mine, srgb in zip(self.colorants, _SRGB_COLORANTS, strict=False)  # grey has none
            for a, b in zip(mine, srgb, strict=True)
        ):
            return False
        steps = (0.02, 0.1, 0.25, 0.5, 0.75, 0.95)
        return all(abs(curve(step) - _srgb(step)) < 0.004 for curve in self.curves for step in steps)


def parse_profile(icc: bytes) -> Profile | None:
    """The profile in `icc`, or None when it is damaged, over MAX_PROFILE, or no profile for pictures."""
    size = int.from_bytes(icc[:4], "big")
    if not 132 <= size <= min(len(icc), MAX_PROFILE) or icc[36:40] != b"acsp":
        return None
    icc = icc[:size]
    count = int.from_bytes(icc[128:132], "big")
    if count > 100 or 132 + 12 * count > size or icc[12:16] not in (b"mntr", b"scnr", b"prtr", b"spac"):
        return None
    tags = {}
    for entry in range(132, 132 + 12 * count, 12):
        name, offset, length = struct.unpack(">4sII", icc[entry : entry + 12])
        if offset + length > size:
            return None
        # Tags may share their bytes: whole, a hundred of them could take a hundred times the file.
        tags[name] = icc[offset : offset + min(length, _MAX_TAG)]
    space = icc[16:20].decode("latin-1")
    profile = Profile(icc, space, _name(tags.get(b"desc", b"")) or f"a custom {space.strip()} profile")
    # With a table beside the matrix, the table counts.
    if icc[20:24] != b"XYZ " or b"A2B0" in tags or space not in ("RGB ", "GRAY"):
        return profile
    colorants = [_numbers(tags.get(tag, b""), b"XYZ ", 3) for tag in _COLORANTS] if space == "RGB " else []
    curves = [_plain_curve(tags.get(tag, b"")) for tag in (_CURVES if space == "RGB " else (b"kTRC",))]
    if not all(colorants) or not all(curves):
        return profile
    adaptation = _numbers(tags.get(b"chad", b""), b"sf32", 9)
    vectors = tuple((x, y, z) for x, y, z in colorants)
    clean = write_profile("Grey" if space == "GRAY" else "RGB", vectors, tuple(curves), adaptation)
    return Profile(icc, space, profile.name, vectors, tuple(_curve(tag) for tag in curves), clean)


def write_profile(
    name: str, colorants: tuple[Vector, ...], curves: tuple[bytes, ...], adaptation: tuple[float, ...] = ()
) -> bytes:
    """A display profile, version 4, of three `colorants` and `curves`, or of one curve alone for grey.

    Each curve is a whole tag. `adaptation` is the matrix from the white of the display to D50, by rows, where known:
    the white itself is always written as D50, which version 4 asks for.
    """

    def text(value: str) -> bytes:
        encoded = value.encode("utf-16-be")
        return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(encoded), 28) + encoded

    values = {
        b"desc": text(name),
        b"cprt": text("No copyright"),
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(_D50),
        **({b"chad": b"sf32\0\0\0\0" + _fixed(adaptation)} if adaptation else {}),
        **{tag: b"XYZ \0\0\0\0" + _fixed(value) for tag, value in zip(_COLORANTS, colorants, strict=False)},
        **dict(zip(_CURVES if colorants else (b"kTRC",), curves, strict=True)),
    }
    start, body, places = 132 + 12 * len(values), b"", dict[bytes, int]()
    for value in values.values():
        if value not in places:  # curves are often one
            places[value] = start + len(body)
            body += value + bytes(-len(value) % 4)
    table = b"".join(tag + struct.pack(">II", places[value], len(value)) for tag, value in values.items())
    space = b"RGB " if colorants else b"GRAY"
    head = struct.pack(">I4xI4s4s4s", start + len(body), 0x04400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H4s28x", 2024, 6, 21, 0, 0, 0, b"acsp") + _fixed(_D50) + bytes(48)
    return head + struct.pack(">I", len(values)) + table + body


def parametric(*parameters: float) -> bytes:
    """A curve's tag from the parameters of the format: gamma alone, or gamma, a, b, c, d and so on."""
    return b"para\0\0\0\0" + struct.pack(">Hxx", _PARAMETERS.index(len(parameters))) + _fixed(parameters)


_COLORANTS = (b"rXYZ", b"gXYZ", b"bXYZ")
_CURVES = (b"rTRC", b"gTRC", b"bTRC")


def _fixed(values: tuple[float, ...]) -> bytes:
    """Signed 16.16 fixed-point numbers."""
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _numbers(tag: bytes, kind: bytes, count: int) -> tuple[float, ...]:
    """The first `count` fixed-point numbers of a tag of that kind; none where it is another, or too short."""
    if tag[:4] != kind or len(tag) < 8 + 4 * count:
        return ()
    return tuple(value / 65536 for value in struct.unpack(f">{count}i", tag[8 : 8 + 4 * count]))


def _plain_curve(tag: bytes) -> bytes:
    """A curve's tag without anything but the curve; empty for one that is damaged or too long."""
    if tag[:4] == b"curv" and len(tag) >= 12:
        end = 12 + 2 * int.from_bytes(tag[8:12], "big")
        return b"curv\0\0\0\0" + tag[8:end] if end <= len(tag) else b""
    if tag[:4] == b"para" and len(tag) >= 12 and (kind := int.from_bytes(tag[8:10], "big")) < len(_PARAMETERS):
        # The gamma comes first; without a positive one this is no curve.
        end = 12 + 4 * _PARAMETERS[kind]
        if end <= len(tag) and int.from_bytes(tag[12:16], "big", signed=True) > 0:
            return b"para\0\0\0\0" + tag[8:10] + b"\0\0" + tag[12:end]
    return b""


def _curve(tag: bytes) -> Curve:
    """What a tag that _plain_curve made says, clipped to 0..1 as the format asks."""
    if tag[:4] == b"para":
        read = struct.unpack(f">{len(tag) // 4 - 3}i", tag[12:])
        return _parametric(int.from_bytes(tag[8:10], "big"), [value / 65536 for value in read])
    points: array[int] = array("H", struct.unpack(f">{len(tag) // 2 - 6}H", tag[12:]))
    if not points:
        return lambda value: value
    if len(points) == 1:
        return lambda value: math.pow(value, points[0] / 256)

    def interpolate(value: float) -> float:
        place = value * (len(points) - 1)
        left = min(int(place), len(points) - 2)
        return (points[left] + (points[left + 1] - points[left]) * (place - left)) / 65535

    return interpolate


def _parametric(kind: int, parameters: list[float]) -> Curve:
    gamma, a, b, c, d, e, f = (*parameters, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)[:7]
    if kind == 0:
        return lambda value: math.pow(value, gamma)
    if kind in (1, 2):
        c, d, e, f = 0.0, -b / a if a else 0.0, c, c

    def curve(value: float) -> float:
        if value < d:
            return min(1.0, max(0.0, c * value + f))
        base = max(0.0, a * value + b)
        # A power this steep leaves the range of numbers, not only that of the curve.
        power = math.pow(base, gamma) if base <= 1 or gamma * math.log(base) < 100 else math.inf
        return min(1.0, max(0.0, power + e))

    return curve


def _srgb(value: float) -> float:
    """sRGB to linear light."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


_WELL_KNOWN = (
    *("Adobe RGB", "Apple RGB", "ColorMatch RGB", "DCI-P3", "Display P3", "Generic RGB", "ProPhoto RGB", "ROMM RGB"),
    *("Rec. 2020", "sRGB", "Wide Gamut RGB", "Dot Gain", "Generic Gray", "Gray Gamma"),
    *("Coated FOGRA", "Uncoated FOGRA", "ISO Coated", "Japan Color", "U.S. Web Coated", "Generic CMYK"),
)


def _name(tag: bytes) -> str:
    """The well-known name that the `desc` tag, of either version of the format, begins with; "" for any other text."""
    text = ""
    if tag[:4] == b"desc":
        text = tag[12 : 12 + min(int.from_bytes(tag[8:12], "big"), 256)].decode("latin-1")
    elif tag[:4] == b"mluc":
        length, offset = int.from_bytes(tag[20:24], "big"), int.from_bytes(tag[24:28], "big")
        text = tag[offset : offset + min(length, 256)].decode("utf-16-be", "ignore")
    # The name goes into a note, and calibration tools write people's names and serial numbers here.
    return next((name for name in _WELL_KNOWN if text.startswith(name)), "")
