"""A thousand of other people's hardest pictures, and our own: each ends READY or FAILED, and no worker dies of one."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pictures
import pytest
from torture import corpora
from torture.killers import KILLERS
from torture.pool import verdicts

from image_pipeline.record import Refusal

FROZEN = Path(__file__).with_name("ready.txt")
"""Files that were READY once, and stay it. It may only grow."""

CODES = {"READY", *(code.value for code in Refusal if code not in (Refusal.FORBIDDEN, Refusal.CRASHED))}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are not kept everywhere")


@pytest.fixture(scope="module", params=["pillow", "libpng"])
def collection(request: pytest.FixtureRequest) -> dict[str, str]:
    """What became of every file of one collection, by name."""
    try:
        folder = getattr(corpora, request.param)()
    except corpora.MissingError as missing:
        pytest.skip(f"the pictures of {request.param} cannot be fetched: {missing}")
    inside = sorted(path for path in folder.rglob("*") if path.is_file())
    return verdicts(
        {f"{request.param}/{path.relative_to(folder).as_posix().split('/', 1)[1]}": path for path in inside}
    )


def test_every_file_ends_ready_or_failed_with_a_code(
    collection: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\n{len(collection)} files:", dict(Counter(collection.values()).most_common()))  # noqa: T201
    assert {name: what for name, what in collection.items() if what not in CODES} == {}


def test_what_was_ready_once_still_is(collection: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    frozen = set(FROZEN.read_text().splitlines())
    lost = {name: what for name, what in collection.items() if name in frozen and what != "READY"}
    assert lost == {}
    found = sorted(name for name, what in collection.items() if what == "READY" and name not in frozen)
    if found:
        with capsys.disabled():
            print(f"\nMore files are READY: add them to {FROZEN.name}", *found, sep="\n")  # noqa: T201


def test_a_worker_survives_every_killer() -> None:
    """Everyday pictures between them show that the workers are as good as before."""
    expected: dict[str, frozenset[str]] = {}
    files: dict[str, Path] = {}
    with TemporaryDirectory() as scratch:  # not pytest's, which would keep some hundred megabytes
        good = Path(scratch) / "good"
        good.write_bytes(pictures.saved(pictures.scene(60, 40), "JPEG"))
        for number, (name, killer) in enumerate(KILLERS.items()):
            files[name] = Path(scratch) / str(number)
            files[name].write_bytes(killer.make())
            files[f"a picture after {name}"] = good
            expected |= {name: killer.ends, f"a picture after {name}": frozenset(("READY",))}
        found = verdicts(files)
    assert {name: what for name, what in found.items() if what not in expected[name]} == {}


def test_the_death_of_a_worker_is_a_verdict_and_another_takes_its_place(tmp_path: Path) -> None:
    """Without this, silence would look like success."""
    good = tmp_path / "good"
    good.write_bytes(pictures.saved(pictures.scene(60, 40), "PNG"))
    files = {"a": tmp_path / "missing", "b": tmp_path / "missing", "c": good, "d": good}
    assert verdicts(files) == dict.fromkeys("ab", "ended its worker with 1") | dict.fromkeys("cd", "READY")
