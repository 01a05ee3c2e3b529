"""The zip writer makes what every unzip reads, the same for the same files."""

from __future__ import annotations

import io
import zipfile
import zlib

from imgpipe.stack.archive import Entry, pack


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def test_zipfile_reads_back_stored_and_deflated_files() -> None:
    text = b"one line, many times\n" * 500
    data = pack([Entry("b/stored.py", b"x = 1\n"), Entry("a.txt", text, deflated(text)), Entry("é/empty", b"")])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.txt", "b/stored.py", "é/empty"]
        assert [archive.read(name) for name in archive.namelist()] == [text, b"x = 1\n", b""]
        assert [info.compress_type for info in archive.infolist()] == [8, 0, 0]
        assert archive.getinfo("a.txt").compress_size < 200


def test_the_order_in_which_files_come_changes_nothing() -> None:
    entries = [Entry(name, name.encode()) for name in ("z", "a/b", "a.b", "A")]
    assert pack(entries) == pack(reversed(entries))


def test_every_file_has_one_date_and_is_readable_by_everyone() -> None:
    with zipfile.ZipFile(io.BytesIO(pack([Entry("a.py", b"")]))) as archive:
        [info] = archive.infolist()
    assert info.date_time == (1980, 1, 1, 0, 0, 0)
    assert (info.create_system, info.external_attr >> 16) == (3, 0o100644)
