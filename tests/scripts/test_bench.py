"""The benchmark program without its peers: the sums, the table of targets, and the pages made from a canned run."""

from __future__ import annotations

import json
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


@pytest.fixture(scope="module", autouse=True)
def bench() -> Iterator[SimpleNamespace]:
    """The program's modules, importable as they are under ./scripts/bench."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
        from benchmarks import __main__ as main
        from benchmarks import charts, harness, report, results, tables, targets, turns, workers

        yield SimpleNamespace(
            main=main,
            charts=charts,
            harness=harness,
            report=report,
            results=results,
            tables=tables,
            turns=turns,
            targets=targets,
            workers=workers,
        )


def canned(bench: SimpleNamespace, value: float = 0.7) -> Any:
    """A report of one part with one ratio, one table, one chart and one peer that was not to be had."""
    h = bench.harness
    part = h.Part(
        name="imaging",
        tables=[h.Table("First of all", ["", "CPU ms"], [["imgpipe", "50.1"], ["a|b", "71.2"]], "One core.")],
        ratios=[h.Ratio("jpeg-12mp/sharp-expert", value, "50.1 ms against 71.2 ms")],
        charts=[h.Chart("cpu", "CPU <of> one", "ms", [("12 MP", {"imgpipe": 50.1, "sharp": 71.2})])],
        versions={"sharp": "1.2.3"},
        missing=["ImageMagick is not here: no Debian."],
    )
    return bench.report.Report(
        command="./scripts/bench",
        started=1_700_000_000.0,
        seconds=61.0,
        quick=False,
        machine={"processor": "A fast one", "cores": "2"},
        parts=[part],
        failures=[],
        judged=bench.targets.judge(part.ratios, ["imaging"]),
    )


def test_a_ratio_is_the_median_of_the_quotients_of_each_turn(bench: SimpleNamespace) -> None:
    # The machine slows down to a third in the last two turns: the quotients stay what they were.
    assert bench.harness.median_ratio([10, 10, 30, 30, 10], [20, 20, 60, 60, 20]) == 0.5


def test_a_ratio_of_unequal_turns_is_refused(bench: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="argument 2"):
        bench.harness.median_ratio([1.0], [1.0, 2.0])


def test_cheap_pictures_get_many_turns_and_dear_ones_few(bench: SimpleNamespace) -> None:
    first = {"ours": 200, "sharp-expert": 300, "sharp-documented": 700, "vips": 300, "magick": 900, "floor": 150}
    judged = ("floor", "ours", "sharp-expert", "sharp-documented")
    made = bench.turns.turns(first, judged, 3000)
    counts = {key: sum(key in who for who in made) for key in first}
    assert counts == {"ours": 20, "sharp-expert": 10, "sharp-documented": 4, "vips": 3, "magick": 1, "floor": 20}
    assert made[9] == ["floor", "ours", "sharp-expert", "sharp-documented"], "neighbours run one after the other"
    assert "sharp-documented" in made[4], "few turns are spread over all"
    assert bench.turns.turns({"ours": 200, "magick": 1001}, judged)[0] == ["ours"], "a long first turn is enough"
    assert len(bench.turns.turns({"ours": 1, "sharp-expert": 1}, judged)) == bench.turns.MOST
    assert len(bench.turns.turns({"ours": 9000, "sharp-expert": 9000}, judged)) == bench.turns.LEAST


def test_nobody_to_compare_with_is_one_turn(bench: SimpleNamespace) -> None:
    assert bench.turns.turns({"vips": 1.0}, ("ours",)) == [["vips"]]


def test_functions_take_turns_and_the_first_turn_is_dropped(bench: SimpleNamespace) -> None:
    calls: list[str] = []
    samples = bench.harness.alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert [len(samples[name]) for name in "ab"] == [2, 2]


def test_commands_take_turns_and_their_cpu_time_is_counted(bench: SimpleNamespace) -> None:
    busy = [sys.executable, "-S", "-c", "for _ in range(3_000_000): pass"]
    samples = bench.harness.alternate_commands({"busy": busy, "idle": [sys.executable, "-S", "-c", ""]}, 1)
    assert samples["busy"][0].cpu_ms > samples["idle"][0].cpu_ms > 0


def test_a_command_that_fails_is_no_measurement(bench: SimpleNamespace) -> None:
    with pytest.raises(bench.harness.BenchError, match="broken ended with status 3"):
        bench.harness.alternate_commands({"broken": [sys.executable, "-S", "-c", "raise SystemExit(3)"]}, 1)


@pytest.mark.parametrize(
    ("key", "limit"),
    [
        ("jpeg-24mp/sharp-expert", 0.80),
        ("jpeg-12mp/sharp-expert", 0.75),
        ("jpeg-2mp/sharp-expert", 0.65),
        ("jpeg-90kb/sharp-expert", 0.50),
        ("jpeg/sharp-documented", 0.40),
        ("jpeg/pillow-thumbnail", 0.30),
        ("png-12mp/sharp-expert", 0.95),
        ("webp-12mp/sharp-expert", 0.95),
        ("avif/sharp-expert", 0.95),
        ("png-16bit/sharp-expert", 0.95),
        ("png-alpha/sharp-expert", 0.95),
        ("jpeg-24mp/floor", 1.15),
        ("quality/sharp-expert", 0.1),
        ("memory/jpeg-24mp", 40),
        ("memory/jpeg-108mp", 60),
        ("memory/png-50mp", 330),
        ("download/jpeg-12mp", 1.25),
        ("coldstart/naive", 0.50),
        ("bundle-mb", 12),
        ("burst/in-process", 0.60),
        ("latency/handler", 2.0),
        ("up/localstack", 0.15),
        ("version/python", 1.5),
        ("help/python", 8),
        ("meta/python", 30),
    ],
)
def test_a_target_is_met_up_to_its_limit_and_missed_beyond_it(bench: SimpleNamespace, key: str, limit: float) -> None:
    target = bench.targets.TARGETS[key]
    worse = limit * (0.99 if target.at_least else 1.01)
    assert target.limit == limit
    assert target.met_by(limit)
    assert not target.met_by(worse)


def test_a_target_that_is_missed_by_little_shows_by_how_much(bench: SimpleNamespace) -> None:
    target = bench.targets.TARGETS["jpeg-90kb/sharp-expert"]
    assert [bench.targets.Judged(target, value, "").shown for value in (0.496, 0.502, 0.52)] == [
        "0.50",
        "0.502",
        "0.52",
    ]


def test_a_target_that_nothing_was_measured_for_is_neither_met_nor_missed(bench: SimpleNamespace) -> None:
    judged = bench.targets.judge([], ["cli"])
    assert {one.verdict for one in judged} == {"not measured"}
    assert bench.report.verdict(judged) == "Targets: 3 not measured."


def test_a_ratio_without_a_target_is_a_mistake(bench: SimpleNamespace) -> None:
    with pytest.raises(KeyError, match="jpeg-12mp/sharp-export"):
        bench.targets.judge([bench.harness.Ratio("jpeg-12mp/sharp-export", 1.0)], ["imaging"])


def test_the_page_says_command_day_versions_and_every_target_beside_what_was_measured(
    bench: SimpleNamespace, tmp_path: Path
) -> None:
    written = bench.report.write_pages(canned(bench), tmp_path)
    page = written[0].read_text("utf-8")
    assert "`./scripts/bench` on 2023-11-14" in page
    assert page.index("First of all") < page.index("## Targets") < page.index("## Imaging")
    assert "| 12 MP phone JPEG: CPU / sharp as an expert writes it | ≤ 0.75 | 0.70 | ✓ met |" in page
    assert "| a\\|b | 71.2 |" in page
    assert "| sharp | 1.2.3 |" in page
    assert "ImageMagick is not here: no Debian." in page
    assert "PNG photo: CPU / sharp expert: not measured. Both unpack and hash" in page
    assert [path.name for path in written[1:]] == ["imaging-cpu.svg"]
    assert "(benchmarks/imaging-cpu.svg)" in page


def test_a_target_that_is_met_needs_no_reason(bench: SimpleNamespace) -> None:
    target = bench.targets.TARGETS["png-12mp/sharp-expert"]

    def page(value: float) -> str:
        report = replace(canned(bench), judged=[bench.targets.Judged(target, value, "")])
        return "\n".join(bench.report.page(report))

    assert f"{target.title}: missed. {target.why}" in page(2.0)
    assert target.why not in page(0.5)


def test_charts_of_an_earlier_run_are_taken_away(bench: SimpleNamespace, tmp_path: Path) -> None:
    old = tmp_path / "benchmarks" / "imaging-gone.svg"
    old.parent.mkdir()
    old.write_text("<svg/>")
    bench.report.write_pages(canned(bench), tmp_path)
    assert not old.exists()


def test_a_chart_is_well_formed_and_its_bars_are_as_long_as_their_values(bench: SimpleNamespace) -> None:
    root = ET.fromstring(bench.charts.svg(canned(bench).parts[0].charts[0]))  # noqa: S314 - made here
    bars = [int(bar.get("width", "")) for bar in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(bars) == 2
    assert bars[0] / bars[1] == pytest.approx(50.1 / 71.2, abs=0.01)


def test_the_document_holds_every_ratio_and_verdict(bench: SimpleNamespace) -> None:
    document = json.loads(json.dumps(bench.report.document(canned(bench, 0.8))))
    judged = {one["target"]: one for one in document["judged"]}
    assert judged["jpeg-12mp/sharp-expert"]["verdict"] == "missed"
    assert document["parts"][0]["measured"] == []


class Canned(ModuleType):
    """Stands for a part of the program."""

    def __init__(self, result: Any) -> None:
        super().__init__("benchmarks.cost")
        self.result = result

    def run(self, _: Any) -> Any:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.mark.parametrize(("value", "status"), [(0.7, 0), (0.8, 3)])
def test_the_exit_status_says_whether_a_target_was_missed(
    bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: float, status: int
) -> None:
    part = canned(bench, value).parts[0]
    monkeypatch.setitem(sys.modules, "benchmarks.imaging", Canned(part))
    assert bench.main.main(["imaging", "--keep", str(tmp_path), "--json", str(tmp_path / "all.json")]) == status
    assert json.loads((tmp_path / "all.json").read_text("utf-8"))["command"].startswith("./scripts/bench imaging")


def test_a_part_that_fails_is_reported_and_the_others_are_run(
    bench: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "benchmarks.imaging", Canned(bench.harness.BenchError("No pictures at all")))
    monkeypatch.setitem(sys.modules, "benchmarks.cost", Canned(bench.harness.Part("cost", missing=["A price."])))
    assert bench.main.main(["imaging", "cost", "--keep", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "imaging failed: No pictures at all" in out
    assert "Traceback" not in out
    assert "cost: A price." in out


def test_what_parts_lack_is_fetched_side_by_side_and_what_cannot_be_is_left_to_them(
    bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2, timeout=20)
    fetched: list[str] = []

    def part(name: str) -> Any:
        def prepare(_: Any) -> None:
            both.wait()
            if name == "benchmarks.cli":
                raise bench.harness.BenchError("no network")
            fetched.append(name)

        return SimpleNamespace() if name == "benchmarks.cost" else SimpleNamespace(prepare=prepare)

    monkeypatch.setattr(bench.main, "import_module", part)
    bench.main._fetch(["imaging", "cli", "cost"], None)
    assert fetched == ["benchmarks.imaging"]


def test_an_unknown_part_is_wrong_usage(bench: SimpleNamespace) -> None:
    with pytest.raises(SystemExit) as stopped:
        bench.main.main(["imagine"])
    assert stopped.value.code == 2


def test_a_folder_with_somebody_elses_files_is_left_alone(bench: SimpleNamespace, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    assert bench.main.main(["cost", "--fresh", "--keep", str(tmp_path)]) == 2
    assert mine.read_text() == "precious"


def findings(bench: SimpleNamespace, **samples: list[float | None]) -> Any:
    """CPU of a 12 MP JPEG, milliseconds of each turn by contender; None where it did not take the turn."""
    taken = {
        key.replace("_", "-"): [bench.harness.Sample(ms, ms, turn=turn) for turn, ms in enumerate(all_of_it) if ms]
        for key, all_of_it in samples.items()
    }
    return bench.results.Findings(pinned={"jpeg-12mp": taken})


def test_a_peer_with_fewer_turns_is_compared_with_the_same_turns_of_ours(bench: SimpleNamespace) -> None:
    found = findings(bench, ours=[10, 90, 90, 10, 90], vips=[20, None, None, 20], magick=[None] * 5)
    assert bench.results.cpu_ratio(found, "jpeg-12mp", "vips") == 0.5
    assert bench.results.cpu_ratio(found, "jpeg-12mp", "magick") is None
    assert bench.results.cpu_ratio(found, "jpeg-12mp", "opencv") is None


def test_a_download_is_shown_beside_what_the_processor_takes_at_least(bench: SimpleNamespace) -> None:
    found = findings(bench, ours=[110], floor=[90])
    found.download = {"alone": [50.0], "during": [120.0], "after": [160.0]}
    [ratio] = bench.results.ratios([], found)
    assert (ratio.target, ratio.value) == ("download/jpeg-12mp", 2.4)
    assert "without a network, 90 ms" in ratio.detail
    assert bench.tables.download_table(found).rows[-1] == [
        "libjpeg-turbo + SHA-256 in C, CPU, no network",
        "90.0",
        "1.80",
    ]


def test_the_loss_of_quality_is_the_largest_at_any_size_of_any_jpeg(bench: SimpleNamespace) -> None:
    from benchmarks.photos import PHOTOS

    found = findings(bench, ours=[1.0])
    found.quality = {
        "jpeg-12mp": {
            "ours": {"1024": [32.0, 0.9], "64": [30.0, 0.9]},
            "sharp-expert": {"1024": [31.0, 0.9], "64": [30.05, 0.9]},
        },
        "jpeg-2mp": {"ours": {"1024": [20.0, 0.9]}, "sharp-expert": {"512": [30.0, 0.9]}},
        "png-12mp": {"ours": {"1024": [20.0, 0.9]}, "sharp-expert": {"1024": [30.0, 0.9]}},
    }
    loss, photo, size, ours, theirs = bench.results.worst_loss(list(PHOTOS), found)
    assert (round(loss, 3), photo.key, size, ours, theirs) == (0.05, "jpeg-12mp", "64", 30.0, 30.05)


def test_the_worst_jpeg_speaks_for_all(bench: SimpleNamespace) -> None:
    from benchmarks.photos import PHOTOS

    found = findings(bench, ours=[10.0], sharp_documented=[40.0])
    found.pinned["jpeg-2mp"] = findings(bench, ours=[10.0], sharp_documented=[20.0]).pinned["jpeg-12mp"]
    ratio = {one.target: one for one in bench.results.ratios(list(PHOTOS), found)}["jpeg/sharp-documented"]
    assert ratio.value == 0.5
    assert ratio.detail.startswith("2 MP JPEG")


@pytest.mark.usefixtures("bench")
def test_ours_makes_the_four_pictures_that_are_compared() -> None:
    import pictures
    from benchmarks.contenders import ours

    outputs = ours.work(pictures.saved(pictures.scene(), "JPEG"), "jpeg")
    assert sorted(outputs) == ["1024", "128", "512", "64"]
    assert all(data.startswith(b"\xff\xd8") for data in outputs.values())


@pytest.mark.usefixtures("bench")
def test_the_stages_of_a_picture_are_timed_and_nothing_stays_patched() -> None:
    import pictures
    from benchmarks.contenders import ours

    from image_pipeline import encode, renditions

    spent = ours.stages(pictures.saved(pictures.scene(1200, 900), "JPEG"), "jpeg")
    assert tuple(spent) == ours.STAGES
    assert all(spent[stage] > 0 for stage in ("decode", "resize", "encode"))
    assert renditions.encode is encode.encode


def test_the_profile_has_a_row_for_each_picture_with_the_share_of_each_stage(bench: SimpleNamespace) -> None:
    from benchmarks.photos import PHOTOS

    found = findings(bench, ours=[10.0])
    assert bench.tables.stages_table(list(PHOTOS), found).rows == []
    found.stages = {"jpeg-12mp": {"decode": 6.0, "resize": 2.0}}
    [row] = bench.tables.stages_table(list(PHOTOS), found).rows
    assert row[1:] == ["6.0 (75 %)", "2.0 (25 %)"]


def test_a_worker_answers_jobs_and_says_what_it_could_not_do(bench: SimpleNamespace, tmp_path: Path) -> None:
    import pictures

    (tmp_path / "tiny.jpg").write_bytes(pictures.saved(pictures.scene(60, 40), "JPEG"))
    (tmp_path / "bad.jpg").write_bytes(b"not a picture")
    contender = bench.workers.Contender("ours", "imgpipe", (sys.executable, "-m", "benchmarks.contenders.ours"))
    with bench.workers.running([contender], None, tmp_path) as workers:
        told = workers["ours"].answer(path=str(tmp_path / "tiny.jpg"), form="jpeg", save=str(tmp_path))
        assert told["cpu_ms"] > 0
        assert (tmp_path / "128.jpeg").stat().st_size == told["bytes"]["128"]
        told = workers["ours"].answer(path=str(tmp_path / "tiny.jpg"), form="jpeg", stages=True)
        assert told["stages"]["encode"] > 0
        with pytest.raises(bench.harness.BenchError, match="imgpipe: RefusedError"):
            workers["ours"].answer(path=str(tmp_path / "bad.jpg"), form="jpeg")
