"""The list of differences says what the tests say, and the README says what the list says."""

from __future__ import annotations

from pathlib import Path

from contract.differences import DIFFERENCES, TARGETS, table

HERE = Path(__file__).parent


def test_every_difference_is_about_a_promise_that_is_tried() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    for capability, reasons in DIFFERENCES.items():
        assert f'@pytest.mark.promise("{capability}")' in tests
        assert reasons
        assert set(reasons) <= set(TARGETS)


def test_the_readme_has_the_table_of_differences() -> None:
    readme = (HERE.parent.parent / "README.md").read_text(encoding="utf-8")
    between = readme.partition("<!-- differences -->")[2].partition("<!-- /differences -->")[0]
    assert between.strip() == table()
