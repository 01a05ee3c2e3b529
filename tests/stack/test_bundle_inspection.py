"""The inspection names the file that would not run, what it is and what it should be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from bundles import PYTHON, built, cached_below, contents, python_like_lambdas, silent, zipped

from imgpipe.errors import ImgpipeError
from imgpipe.stack import inspection
from imgpipe.stack.bundle import lambda_bundle
from imgpipe.stack.inspection import inspect

X86, ARM, X86_32 = 62, 183, 3


def elf(machine: int, symbols: bytes = b"GLIBC_2.17\0") -> bytes:
    """As much of a shared library as the inspection reads."""
    return b"\x7fELF\x02\x01\x01" + bytes(11) + machine.to_bytes(2, "little") + bytes(44) + b"\0" + symbols


def holding(**files: bytes) -> bytes:
    """A bundle of these files for arm64, with a Pillow that may be used."""
    return zipped({"PIL/_version.py": b'__version__ = "13.0.0"\n'} | files)


def unfit(data: bytes, architecture: str = "arm64") -> str:
    with pytest.raises(ImgpipeError) as failure:
        inspect(data, architecture, PYTHON)
    assert failure.value.code == "unfit_bundle"
    assert failure.value.hint
    return failure.value.message


@pytest.fixture
def no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_interpreter", lambda *_: None)


@pytest.mark.usefixtures("no_python")
def test_what_fits_is_let_through() -> None:
    files = {
        "PIL/_imaging.cpython-313-aarch64-linux-gnu.so": elf(ARM),
        "one/_stable.abi3.so": elf(ARM, b"GLIBC_2.34\0"),
        "pillow.libs/libjpeg-6dc8d115.so.62.4.0": elf(ARM, b""),
        "one/data.so.txt": b"no library",
    }
    assert inspect(holding(**files), "arm64", PYTHON) is None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("PIL/_a.cpython-313-aarch64-linux-gnu.so", elf(X86), "is for x86_64; it should be for arm64."),
        ("pillow.libs/libz.so.1.3", elf(X86_32), "is for 32-bit x86; it should be for arm64."),
        ("PIL/hidden.bin", elf(X86), "is for x86_64; it should be for arm64."),
        ("PIL/_a.cpython-311-aarch64-linux-gnu.so", elf(ARM), "is for Python 3.11; it should be for Python 3.13."),
        ("PIL/_a.cpython-313t-aarch64-linux-gnu.so", elf(ARM), "is for Python 3.13t; it should be for Python 3.13."),
        (
            "PIL/_a.cpython-313-aarch64-linux-musl.so",
            elf(ARM),
            "is named for aarch64-linux-musl; it should be named for aarch64-linux-gnu.",
        ),
        (
            "PIL/_a.cpython-313-darwin.so",
            b"\xcf\xfa\xed\xfe" + bytes(60),
            "is a macOS library; it should be a Linux library for arm64.",
        ),
        (
            "PIL/_a.cp313-win_amd64.pyd",
            b"MZ" + bytes(60),
            "is a Windows library; it should be a Linux library for arm64.",
        ),
        ("PIL/_a.abi3.so", b"", "is no 64-bit Linux library; it should be one for arm64."),
        ("PIL/_a.abi3.so", elf(ARM, b"\0GLIBC_2.9\0GLIBC_2.38\0"), "needs glibc 2.38; Lambda's runtime has 2.34."),
    ],
)
def test_a_library_for_another_platform_is_named(name: str, content: bytes, said: str) -> None:
    assert unfit(holding(**{name: content})) == f"{name} {said}"


def test_a_library_whose_neighbour_was_left_out_is_named() -> None:
    name = "PIL/_imaging.cpython-313-aarch64-linux-gnu.so"
    asking = elf(ARM, b"libjpeg-6dc8d115.so.62.4.0\0libc.so.6\0")
    neighbour = {"pillow.libs/libjpeg-6dc8d115.so.62.4.0": elf(ARM, b"")}
    assert unfit(holding(**{name: asking})) == f"{name} needs libjpeg-6dc8d115.so.62.4.0, which is not in the bundle."
    assert "libjpeg" not in unfit(holding(**{name: asking, "PIL/_a.abi3.so": b""}, **neighbour))


@pytest.mark.parametrize("version", ["12.3.0", "9.5.0", "12.99.99"])
def test_a_pillow_below_the_floor_is_refused(version: str) -> None:
    message = unfit(zipped({"PIL/_version.py": f'__version__ = "{version}"\n'.encode()}))
    assert message == (
        f"PIL/_version.py is of Pillow {version}, which crafted images can attack; it should be 13.0.0 or newer."
    )


def test_a_bundle_without_pillow_is_refused() -> None:
    assert unfit(zipped({"image_pipeline/handler.py": b""})) == "The bundle holds no Pillow."


def test_a_bundle_that_lambda_would_not_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "LARGEST", 1 << 20)
    big = holding(**{"data": bytes(2 << 20)})
    assert unfit(big) == "The bundle has 2.0 MB, and Lambda takes 1.0 MB."


def test_the_unzipped_size_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    data = built("x86_64").data
    monkeypatch.setattr(inspection, "LARGEST", 20 << 20)
    assert unfit(data, "x86_64").startswith("Unzipped, the bundle has ")


def test_a_wheel_of_the_wrong_architecture_under_the_right_name_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cached_below(tmp_path)
    monkeypatch.setenv("IMGPIPE_HOME", str(tmp_path))
    [wrong] = (cache / f"x86_64-python{PYTHON}").glob("pillow-*.whl")
    [right] = (cache / f"arm64-python{PYTHON}").glob("pillow-*.whl")
    shutil.copyfile(wrong, right)
    with pytest.raises(ImgpipeError) as failure:
        lambda_bundle("arm64", PYTHON, silent)
    assert failure.value.message.endswith(".so is for x86_64; it should be for arm64.")


def test_a_wheel_for_the_wrong_python_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cached_below(tmp_path)
    monkeypatch.setenv("IMGPIPE_HOME", str(tmp_path))
    shutil.copytree(cache / f"arm64-python{PYTHON}", cache / "arm64-python3.14")
    with pytest.raises(ImgpipeError) as failure:
        lambda_bundle("arm64", "3.14", silent)
    assert failure.value.message.endswith("-linux-gnu.so is for Python 3.13; it should be for Python 3.14.")


def test_a_handler_that_cannot_be_imported_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    if (folder := python_like_lambdas()) is None:
        pytest.skip(f"there is no Python {PYTHON} on an x86_64 Linux here")
    monkeypatch.setenv("PATH", folder + os.pathsep + os.environ["PATH"])
    held = contents(built("x86_64").data)
    del held["typing_extensions.py"]
    assert unfit(zipped(held), "x86_64") == (
        f"Python {PYTHON} cannot import image_pipeline.handler from the bundle: "
        "ModuleNotFoundError: No module named 'typing_extensions'"
    )
