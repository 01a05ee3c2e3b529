"""Bytecode in a bundle is that of the sources beside it, made by a Python of the function's version, and kept."""

from __future__ import annotations

import subprocess
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from bundles import PYTHON, built, cached_below, contents, python_like_lambdas, silent

from imgpipe.stack import bytecode, pythons
from imgpipe.stack.artifacts import code_key
from imgpipe.stack.bundle import lambda_bundle
from imgpipe.stack.pythons import Interpreter, installed

PROGRAM = """
import importlib.util, marshal, sys
from pathlib import Path

root, count = Path(sys.argv[1]), 0
for source in root.rglob("*.py"):
    path = source.relative_to(root).as_posix()
    compiled = Path(importlib.util.cache_from_source(str(source))).read_bytes()
    assert compiled[:4] == importlib.util.MAGIC_NUMBER, path
    assert compiled[4:8] == bytes([1, 0, 0, 0]), f"{path} is compared with its source"
    assert compiled[8:16] == importlib.util.source_hash(source.read_bytes()), path
    own = compile(source.read_bytes(), f"/var/task/{path}", "exec", dont_inherit=True)
    assert marshal.loads(compiled[16:]) == own, path
    count += 1
assert count == len(list(root.rglob("*.pyc"))), "bytecode without a source"
print(count)
"""

compiling = pytest.mark.skipif(python_like_lambdas() is None, reason=f"there is no Python {PYTHON} here")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a Python like the function's."""
    monkeypatch.setattr(pythons, "_candidates", lambda _: iter(()))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the wheels, in which nothing was compiled yet."""
    for compiled in cached_below(tmp_path).glob("*.bytecode"):
        compiled.unlink()
    monkeypatch.setenv("IMGPIPE_HOME", str(tmp_path))
    return tmp_path


@compiling
@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_every_module_has_the_bytecode_of_its_own_source(architecture: str, tmp_path: Path) -> None:
    zipfile.ZipFile(BytesIO(built(architecture).data)).extractall(tmp_path)
    python = f"{python_like_lambdas()}/python{PYTHON}"
    done = subprocess.run(
        [python, "-I", "-S", "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200


@compiling
def test_compiling_again_gives_the_same_and_is_kept_when_the_python_goes_away(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lambda_bundle("arm64", PYTHON, silent)
    assert before.data == built("arm64").data
    monkeypatch.setattr(pythons, "_candidates", lambda _: iter(()))
    assert lambda_bundle("arm64", PYTHON, silent).data == before.data
    [kept] = home.rglob("*.bytecode")
    kept.write_bytes(kept.read_bytes()[:-100])
    assert lambda_bundle("arm64", PYTHON, silent).compiled_by is None


@pytest.mark.usefixtures("home", "nobody")
def test_without_such_a_python_the_bundle_is_source_alone_and_has_another_name() -> None:
    made = lambda_bundle("arm64", PYTHON, silent)
    assert made.compiled_by is None
    assert not [name for name in contents(made.data) if name.endswith(".pyc")]
    assert made.code == made.sha256
    assert code_key(made) == f"{made.sha256}.zip"
    if (compiled := built("arm64")).compiled_by:
        assert compiled.code == made.code
        assert code_key(compiled) == f"{made.code}-compiled.zip"
        rest = {name: data for name, data in contents(compiled.data).items() if not name.endswith(".pyc")}
        assert rest == contents(made.data)


def test_the_name_of_a_compiled_bundle_does_not_depend_on_who_compiled_it() -> None:
    made = replace(built("arm64"), compiled_by="3.13.0")
    assert code_key(replace(made, compiled_by="3.13.9", data=b"otherwise packed", sha256="00")) == code_key(made)


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        ('["CPython", "3.13.5", "x86_64", "glibc", "2.36"]', True),
        ('["CPython", "3.13.0rc2", "x86_64", "glibc", "2.36"]', False),
        ('["PyPy", "3.13.5", "x86_64", "glibc", "2.36"]', False),
        ('["CPython", "3.12.5", "x86_64", "glibc", "2.36"]', False),
        ("pyenv: python3.13: command not found", False),
    ],
)
def test_only_a_release_of_cpython_of_the_version_compiles(
    said: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python3.13"
    python.write_text(f"#!/bin/sh\necho '{said}'\n")
    python.chmod(0o755)
    monkeypatch.setattr(pythons, "_candidates", lambda _: iter([str(python)]))
    expected = [Interpreter(str(python), "3.13.5", "x86_64", "glibc")]
    assert list(installed("3.13")) == (expected if fits else [])


def test_a_python_of_a_version_manager_is_found_though_it_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / ".pyenv/versions/3.13.7/bin/python3.13"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    assert str(python) in list(pythons._candidates("3.13"))


@compiling
@pytest.mark.usefixtures("home")
def test_a_module_that_does_not_compile_goes_without() -> None:
    entries = [bytecode.Entry("good.py", b"x = 1\n"), bytecode.Entry("bad.py", b"print 'x'\n")]
    made = bytecode.compiled(entries, PYTHON, silent)
    assert made is not None
    assert [entry.path for entry in made.entries] == ["__pycache__/good.cpython-313.pyc"]
