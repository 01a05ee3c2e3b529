"""ICC profiles made by code: what a display or a camera writes, small enough to read."""

from __future__ import annotations

import struct


def display_p3() -> bytes:
    """The Display P3 profile: DCI-P3's primaries with sRGB's curve."""
    curve = b"para\0\0\0\0\0\x03\0\0" + b"".join(map(_fixed, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)))
    return matrix_profile(
        "Display P3", ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)), curve
    )


def matrix_profile(name: str, colorants: tuple[tuple[float, float, float], ...], curve: bytes) -> bytes:
    """An ICC profile, version 4 (ICC.1:2022).

    `colorants` are red, green and blue in XYZ under D50, `curve` is a whole tag: all three channels share it.
    """

    def text(value: str) -> bytes:
        encoded = value.encode("utf-16-be")
        return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(encoded), 28) + encoded

    def xyz(values: tuple[float, float, float]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))

    white = (0.9642, 1.0, 0.8249)
    # D65 to D50 by the Bradford method, as the format asks of a display whose white is not D50.
    adaptation = (1.04790, 0.02292, -0.05020, 0.02960, 0.99046, -0.01707, -0.00925, 0.01508, 0.75168)
    values = {
        b"desc": text(name),
        b"cprt": text("No copyright"),
        b"wtpt": xyz(white),
        b"chad": b"sf32\0\0\0\0" + b"".join(map(_fixed, adaptation)),
        **{tag: xyz(value) for tag, value in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    start, body, places = 132 + 12 * len(values), b"", dict[bytes, int]()
    for value in values.values():
        if value not in places:  # the three curves are one
            places[value] = start + len(body)
            body += value + bytes(-len(value) % 4)
    table = b"".join(tag + struct.pack(">II", places[value], len(value)) for tag, value in values.items())
    head = struct.pack(">I4xI4s4s4s", start + len(body), 0x04400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s28x", 2024, 6, 21, 0, 0, 0, b"acsp") + b"".join(map(_fixed, white)) + bytes(48)
    return head + struct.pack(">I", len(values)) + table + body


def _fixed(value: float) -> bytes:
    """A signed 16.16 fixed-point number."""
    return struct.pack(">i", round(value * 65536))
