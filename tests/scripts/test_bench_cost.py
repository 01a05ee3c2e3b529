"""The model that the benchmark's bill is made by."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from imgpipe.prices import load


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    return importlib.import_module("benchmarks.cost")


def test_an_image_is_billed_for_waiting_for_its_download_and_for_its_share_of_a_core(part: Any) -> None:
    assert part.billed_ms(60, 4_000_000, 1769) == pytest.approx(100 + 50 + 60)
    assert part.billed_ms(60, 4_000_000, 3008) == pytest.approx(100 + 50 + 60)
    assert part.billed_ms(60, 0, 512) == pytest.approx(100 + 60 * 1769 / 512)


def test_the_table_has_dollars_of_lambda_alone(part: Any) -> None:
    image = part.Image("12 MP", {"x86_64": 50.0, "arm64": 100.0}, 4_000_000, 250_000)
    [fast, slow] = part._by_memory([image], load()).rows
    # 200 ms of 1769 MB, and a request.
    assert fast == ["12 MP, x86_64", "50", *fast[2:4], f"{0.2 * 1769 / 1024 * 16.6667 + 0.2:.2f}", fast[5]]
    assert float(slow[4]) == pytest.approx(0.25 * 1769 / 1024 * 13.3334 + 0.2, abs=0.01)
    assert float(fast[2]) < float(fast[3]) < float(fast[4]) < float(fast[5])


def test_without_the_peers_there_is_a_reason(part: Any, tmp_path: Path) -> None:
    from benchmarks.harness import BenchError, Options

    with pytest.raises(BenchError, match="scripts/bench imaging"):
        part._against_peers([], load(), Options(quick=True, folder=tmp_path, progress=lambda _: None))
