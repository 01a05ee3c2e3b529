"""`imgpipe bundle` writes what it built and says what that is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from bundles import PYTHON, built
from commandline import Finished, clean_environment, in_process

from imgpipe.stack import bundle as core
from imgpipe.stack.bundle import ARCHITECTURES, LambdaBundle
from imgpipe.targets.base import Progress


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment for the command line; a bundle that was built once is not built again."""
    real = core.lambda_bundle

    def once(architecture: str, python: str, progress: Progress) -> LambdaBundle:
        known = architecture in ARCHITECTURES and python == PYTHON
        return built(architecture) if known else real(architecture, python, progress)

    for architecture in ARCHITECTURES:
        built(architecture)
    monkeypatch.setattr(core, "lambda_bundle", once)
    return clean_environment(tmp_path)


def bundle(environment: dict[str, str], cwd: Path, *arguments: str) -> Finished:
    return in_process("bundle", *arguments, env=environment, cwd=cwd)


def test_the_document_describes_the_file(environment: dict[str, str], tmp_path: Path) -> None:
    done = bundle(environment, tmp_path, "--arch", "x86_64", "--json")
    assert done.status == 0, done.out
    document = done.document
    data = (tmp_path / "imgpipe-x86_64-py3.13.zip").read_bytes()
    assert data == built("x86_64").data
    assert set(document) == {
        "file",
        "bytes",
        "unzipped_bytes",
        "sha256",
        "architecture",
        "python",
        "compiled_by",
        "imported_by",
        "libraries",
        "without",
    }
    assert document["file"] == "imgpipe-x86_64-py3.13.zip"
    assert (document["bytes"], document["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert (document["architecture"], document["python"]) == ("x86_64", "3.13")
    assert {one["name"] for one in document["libraries"]} >= {"pillow", "cykooz-resizer"}


def test_people_get_a_table_and_the_default_is_x86_64(environment: dict[str, str], tmp_path: Path) -> None:
    done = bundle(environment, tmp_path)
    assert done.status == 0, done.err
    assert (tmp_path / "imgpipe-x86_64-py3.13.zip").read_bytes() == built("x86_64").data
    for said in ("imgpipe-x86_64-py3.13.zip", built("x86_64").sha256, "aws-lambda-powertools\t"):
        assert said in done.out


def test_a_library_that_arm64_has_to_do_without_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    done = bundle(environment, tmp_path, "--arch", "arm64")
    assert done.status == 0, done.err
    assert "no wheel for arm64" in done.out


def test_the_configuration_chooses_processor_and_file_goes_into_a_folder(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "imgpipe.toml").write_text('[parameters]\narchitecture = "arm64"\n')
    (tmp_path / "out").mkdir()
    assert bundle(environment, tmp_path, "-o", "out").status == 0
    assert (tmp_path / "out" / "imgpipe-arm64-py3.13.zip").is_file()


def test_a_file_that_holds_something_else_is_replaced_only_by_force(
    environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "code.zip"
    path.write_bytes(b"precious")
    done = bundle(environment, tmp_path, "-o", "code.zip")
    assert (done.status, path.read_bytes()) == (6, b"precious")
    assert "--force" in done.err
    assert bundle(environment, tmp_path, "-o", "code.zip", "--force").status == 0
    assert path.read_bytes() == built("x86_64").data
    # Now it holds what would be written.
    assert bundle(environment, tmp_path, "-o", "code.zip").status == 0
    assert [one.name for one in tmp_path.glob(".*.part")] == []


def test_a_place_that_cannot_be_written_is_a_sentence(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = bundle(environment, tmp_path, "-o", "file/code.zip")
    assert done.status == 1
    assert "cannot be written" in done.err


def test_a_processor_that_lambda_has_not_is_a_usage_error(environment: dict[str, str], tmp_path: Path) -> None:
    done = bundle(environment, tmp_path, "--arch", "mips")
    assert done.status == 2
    assert "--arch arm64" in done.err
