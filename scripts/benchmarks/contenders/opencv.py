"""OpenCV at its quickest: JPEG decoded at a half, a quarter or an eighth, then area averaging down a chain.

It knows no profiles, so it drops them, and its averaging is softer than Lanczos: the quality table shows by how much.
"""

from __future__ import annotations

import hashlib
import os
import struct
from typing import Any

import cv2
import numpy as np

from benchmarks.contenders.worker import BOXES, COVER, JPEG_QUALITY, WEBP_QUALITY, Outputs, serve

if hasattr(os, "sched_getaffinity"):
    cv2.setNumThreads(len(os.sched_getaffinity(0)))

_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


def work(data: bytes, form: str) -> Outputs:
    hashlib.sha256(data).hexdigest()
    flags, whole = cv2.IMREAD_COLOR, 0
    if form == "webp":
        flags = cv2.IMREAD_UNCHANGED
    elif data[:2] == b"\xff\xd8":
        whole = max(_jpeg_size(data))
        flags = next((_REDUCED[scale] for scale in (8, 4, 2) if whole // scale >= 1024), flags)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ValueError("OpenCV cannot read it")
    whole = whole or max(image.shape[:2])
    outputs = {}
    for name, box in BOXES.items():
        image = _inside(image, box)
        outputs[name] = _encode(image, form)
        if box == 512 and whole >= 1024:
            outputs[str(COVER)] = _encode(_cover(image), form)
    return outputs


def _inside(image: Any, box: int) -> Any:
    height, width = image.shape[:2]
    scale = box / max(height, width)
    if scale >= 1:
        return image
    return cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)


def _cover(image: Any) -> Any:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return cv2.resize(image[top : top + side, left : left + side], (COVER, COVER), interpolation=cv2.INTER_AREA)


def _encode(image: Any, form: str) -> bytes:
    if form == "jpeg":
        options = [
            cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        ]  # fmt: skip
        return cv2.imencode(".jpg", image, options)[1].tobytes()
    return cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])[1].tobytes()


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Height and width from the frame header."""
    at = 2
    while at + 9 < len(data):
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return height, width
        at += 2 + length
    raise ValueError("no frame header")


def versions() -> dict[str, str]:
    return {"OpenCV": cv2.__version__}


if __name__ == "__main__":
    serve(work, versions)
