"""The bundle is the function's source, and the same source is always the same zip."""

from __future__ import annotations

import hashlib
import io
import os
import py_compile
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

from imgpipe.stack import bundle
from imgpipe.stack.bundle import source_bundle


def entries(data: bytes) -> list[zipfile.ZipInfo]:
    return zipfile.ZipFile(io.BytesIO(data)).infolist()


def test_the_bundle_holds_the_package_as_lambda_imports_it() -> None:
    packed = source_bundle()
    source = Path(str(files("image_pipeline")))
    expected = {f"image_pipeline/{path.relative_to(source).as_posix()}" for path in source.rglob("*.py")}
    assert {entry.filename for entry in entries(packed.data)} == {*expected, "image_pipeline/py.typed"}
    assert packed.sha256 == hashlib.sha256(packed.data).hexdigest()


def test_dates_modes_and_byte_code_of_the_sources_do_not_change_the_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "files", lambda _: tmp_path)
    (tmp_path / "b").mkdir()
    for name in ("z.py", "b/y.py", "a.py"):
        (tmp_path / name).write_text(f"# {name}\n")
    before = source_bundle()
    assert [entry.filename for entry in entries(before.data)] == [
        f"image_pipeline/{one}" for one in ("a.py", "b/y.py", "z.py")
    ]

    py_compile.compile(str(tmp_path / "a.py"))
    os.utime(tmp_path / "z.py", (1, 1))
    (tmp_path / "a.py").chmod(0o600)
    assert source_bundle() == before

    (tmp_path / "a.py").write_text("# changed\n")
    assert source_bundle().sha256 != before.sha256


def test_every_entry_is_readable_by_lambda_and_has_one_fixed_date() -> None:
    for entry in entries(source_bundle().data):
        assert entry.external_attr >> 16 == 0o100644
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
