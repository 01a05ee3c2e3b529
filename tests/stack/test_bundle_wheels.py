"""Wheels come from the cache while it is whole, else from pip, else from pip that uv runs; never from this platform."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from bundles import PYTHON, cached_below, silent

from imgpipe.errors import ImgpipeError
from imgpipe.stack import wheels
from imgpipe.stack.wheels import LIBRARIES, DamagedError, fetch, installed_version, read


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cached wheels for x86_64, and no index that could replace them."""
    folder = cached_below(tmp_path) / f"x86_64-python{PYTHON}"
    monkeypatch.setenv("IMGPIPE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    return folder


def the(name: str, cache: Path) -> Path:
    [path] = cache.glob(f"{name}-*.whl")
    return path


def test_with_a_whole_cache_no_index_is_asked(cache: Path) -> None:
    fetched = fetch("x86_64", PYTHON, silent)
    assert [wheel.name for wheel in fetched] == list(LIBRARIES)
    assert {wheel.file for wheel in fetched} == {path.name for path in cache.iterdir()}


@pytest.mark.parametrize("damage", ["cut short", "one byte changed", "empty", "no zip at all"])
def test_a_damaged_wheel_is_noticed(cache: Path, damage: str) -> None:
    path = the("pillow", cache)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "cut short": whole[:middle],
            "one byte changed": whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :],
            "empty": b"",
            "no zip at all": b"<html>Sign in to the network</html>",
        }[damage]
    )
    with pytest.raises(DamagedError):
        read(path)


def test_a_damaged_wheel_is_downloaded_again(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = the("typing_extensions", cache)
    whole = path.read_bytes()
    index = tmp_path / "index"
    index.mkdir()
    (index / path.name).write_bytes(whole)
    path.write_bytes(whole[:-2000])
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    said: list[str] = []
    assert [wheel.name for wheel in fetch("x86_64", PYTHON, said.append)] == list(LIBRARIES)
    assert path.read_bytes() == whole
    assert said == [f"Downloading typing-extensions {importlib.metadata.version('typing-extensions')}"]
    assert {one.suffix for one in cache.iterdir()} == {".whl"}


def test_a_file_that_differs_from_the_wheels_record_is_noticed(cache: Path) -> None:
    path = the("typing_extensions", cache)
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    held["typing_extensions.py"] += b"\nimport os\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    with pytest.raises(DamagedError, match=r"holds another typing_extensions\.py than its record says"):
        read(path)


def test_a_library_without_such_a_wheel_is_named(cache: Path) -> None:
    the("pillow", cache).unlink()
    with pytest.raises(ImgpipeError) as failure:
        fetch("x86_64", PYTHON, silent)
    assert failure.value.code == "no_wheel"
    version = importlib.metadata.version("pillow")
    assert failure.value.message == f"There is no wheel of pillow {version} for Python {PYTHON} on x86_64 Linux."


def test_an_index_that_does_not_answer_is_no_missing_wheel(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    the("pillow", cache).unlink()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(ImgpipeError) as failure:
        fetch("x86_64", PYTHON, silent)
    assert failure.value.code == "download_failed"
    assert "Connection refused" in failure.value.message


def test_where_pip_is_missing_uv_runs_it(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = the("typing_extensions", cache)
    index = tmp_path / "index"
    index.mkdir()
    path.rename(index / path.name)
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    (tmp_path / "bin").mkdir()
    uv = tmp_path / "bin" / "uv"
    # What `uv tool run --quiet pip …` does, with the pip of this test's own environment.
    uv.write_text(
        f'#!/bin/sh\n[ "$1 $2 $3 $4" = "tool run --quiet pip" ] && shift 4 && "{sys.executable}" -m pip "$@"\n'
    )
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(wheels, "find_spec", lambda _: None)
    fetch("x86_64", PYTHON, silent)
    assert path.is_file()


def test_with_neither_pip_nor_uv_the_hint_says_how_to_get_one(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    the("pillow", cache).unlink()
    monkeypatch.setattr(wheels, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ImgpipeError) as failure:
        fetch("x86_64", PYTHON, silent)
    assert failure.value.code == "no_installer"
    assert "ensurepip" in failure.value.hint
    assert "uv" in failure.value.hint


def test_wheels_are_asked_for_by_lambdas_platform_and_never_built(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def record(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, "", "ERROR: not now")

    monkeypatch.setattr(subprocess, "run", record)
    the("pillow", cache).unlink()
    with pytest.raises(ImgpipeError, match="not now"):
        fetch("x86_64", PYTHON, silent)
    [command] = asked
    platforms = {command[n + 1] for n, word in enumerate(command) if word == "--platform"}
    assert {"manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux_2_17_x86_64"} <= platforms
    assert all(platform.endswith("_x86_64") and platform.startswith("manylinux") for platform in platforms)
    assert command[command.index("--only-binary") + 1] == ":all:"
    assert not [word for word in command if "://" in word or "index" in word]


def test_a_library_that_is_not_installed_here_has_the_version_that_imgpipe_pins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    pinned = installed_version("cykooz-resizer")
    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert installed_version("cykooz-resizer") == pinned
    with pytest.raises(ImgpipeError, match="not installed"):
        installed_version("no-such-library")


def test_a_cache_that_cannot_be_written_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".cache").write_text("in the way")
    monkeypatch.setenv("IMGPIPE_HOME", str(tmp_path))
    with pytest.raises(ImgpipeError) as failure:
        fetch("x86_64", PYTHON, silent)
    assert failure.value.code == "cannot_write"
