"""Memory for pixels: private, in pages of 2 MB where there are any, and as cheap as none while nobody touches it."""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path

import pytest

from image_pipeline.buffers import buffer_of, image_over

MB = 1 << 20

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="what the kernel holds is read from /proc")


def mapping(buffer: mmap.mmap) -> dict[str, str]:
    """What the kernel says of the pages of `buffer`."""
    address, facts = ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer)), {}
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split(maxsplit=1)
        if not first.endswith(":"):
            begin, end = (int(bound, 16) for bound in first.split("-"))
            within = begin <= address < end
            facts |= {"kind": rest[0].split()[0]} if within else {}
        elif within:
            facts[first[:-1]] = rest[0] if rest else ""
    return facts


@pytest.mark.parametrize("size", [1, 4096, 2 * MB - 1, 2 * MB, 5 * MB + 1])
def test_there_are_at_least_as_many_bytes_as_asked_for_and_all_are_0(size: int) -> None:
    buffer = buffer_of(size)
    assert size <= len(buffer) < size + 2 * MB
    assert not any(buffer[:])
    assert size >= 2 * MB or len(buffer) == size


@on_linux
@pytest.mark.parametrize("size", [64 * 1024, 12 * MB])
def test_it_is_not_shared_for_only_then_are_there_large_pages(size: int) -> None:
    assert mapping(buffer_of(size))["kind"] == "rw-p"


@on_linux
def test_it_costs_nothing_before_it_is_touched() -> None:
    before = resident()
    kept = buffer_of(64 * MB)
    assert resident() - before < 8 * MB
    kept[:] = bytes(len(kept))
    assert resident() - before > 60 * MB


@on_linux
@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="no pages of 2 MB in this kernel")
def test_large_ones_ask_for_large_pages_and_small_ones_do_not() -> None:
    assert "hg" in mapping(buffer_of(12 * MB))["VmFlags"].split()
    assert "hg" not in mapping(buffer_of(64 * 1024))["VmFlags"].split()


def test_an_image_over_it_shows_what_is_written_there() -> None:
    buffer = buffer_of(4 * 6)
    image = image_over(buffer, (3, 2), "RGB")
    assert (image.mode, image.size) == ("RGB", (3, 2))
    buffer[4 * 4 : 4 * 4 + 3] = b"abc"
    assert image.getpixel((1, 1)) == tuple(b"abc")
    image.putpixel((2, 0), (1, 2, 3))
    assert buffer[8:11] == bytes((1, 2, 3))


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
