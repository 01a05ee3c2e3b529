"""The benchmark of the pipeline: photos really go through, and both sides do the same work."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The program's modules, importable as they are under ./scripts/bench."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "scripts"))
    from benchmarks import harness, localstack, pipeline, stage, targets, traffic

    return SimpleNamespace(
        harness=harness, localstack=localstack, pipeline=pipeline, stage=stage, targets=targets, traffic=traffic
    )


@pytest.fixture(scope="module")
def photo() -> bytes:
    from imgpipe.sample import sample_photo

    return sample_photo(0.05)


def test_photos_go_through_one_by_one_and_at_once(bench: SimpleNamespace, tmp_path: Path, photo: bytes) -> None:
    with bench.stage.standing(tmp_path) as stage:
        stage.imgpipe("up")
        latency = bench.traffic.one_at_a_time(stage, photo, 2)
        bursts = [bench.traffic.burst(stage, photo, 4, str(first), queue_first=first) for first in (True, False)]
        alone = bench.traffic.in_process(tmp_path, photo, 4)
        ups = {"cold": [1.0], "again": [0.5], "down": [1.0]}
        part = bench.pipeline._part(latency, bursts[:1], bursts[1], [alone] * 3, ups, [], [])

    assert len(latency.handler) == len(latency.visible) == 2
    assert all(one.photos == 4 and one.rate > 0 for one in bursts)
    assert alone.rate > 0
    assert alone.cpu_ms > 0
    assert {one.target for one in part.ratios} == {"burst/in-process", "latency/handler"} <= set(bench.targets.TARGETS)
    assert part.ratios[0].value == pytest.approx(bursts[0].rate / alone.rate)
    assert not (tmp_path / "pipeline").exists(), "nothing is left of the stage"


def test_a_burst_is_judged_by_what_was_done_right_before_and_right_after_it(bench: SimpleNamespace) -> None:
    bursts = [bench.traffic.Burst(count, 1.0, 0.0, None, None) for count in (6, 9, 2)]
    alone = [bench.traffic.Alone(rate, 0.0) for rate in (8.0, 12.0, 6.0, 2.0)]
    assert bench.pipeline._shares(bursts, alone) == pytest.approx([0.6, 1.0, 0.5])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_workers_are_found_whose_thread_has_ended(bench: SimpleNamespace) -> None:
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(
        target=lambda: started.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
    )
    thread.start()
    thread.join()
    (worker,) = started
    assert worker.pid in bench.stage.children(os.getpid())
    worker.communicate()
    assert worker.pid not in bench.stage.children(os.getpid())


def test_without_a_localstack_there_is_a_reason(
    bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("IMGPIPE_TEST_ENDPOINT", raising=False)
    monkeypatch.setattr(bench.localstack, "_docker", lambda: False)
    options = bench.harness.Options(quick=True, folder=tmp_path, progress=lambda _: None)
    ratios, [missing] = bench.localstack.against_localstack(1.0, options)
    assert ratios == []
    assert "IMGPIPE_TEST_ENDPOINT" in missing


def test_a_localstack_that_runs_counts_with_the_seconds_of_its_start(
    bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMGPIPE_TEST_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(bench.localstack, "_stack", lambda *_: 6.0)
    options = bench.harness.Options(quick=True, folder=tmp_path, progress=lambda _: None)
    for start, value in (("", 0.25), ("9", 0.1)):
        monkeypatch.setenv("IMGPIPE_LOCALSTACK_START_SECONDS", start)
        [ratio], missing = bench.localstack.against_localstack(1.5, options)
        assert ratio.value == pytest.approx(value)
        assert missing == []


@pytest.mark.parametrize(("runs", "said"), [(True, "6.0 s, its start not counted"), (False, "6.0 s")])
def test_a_localstack_that_docker_starts_is_ended_and_one_that_runs_is_left(
    bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runs: bool, said: str
) -> None:
    stopped: list[bool] = []

    def stack(*, stop: bool) -> float:
        stopped.append(stop)
        return 6.0

    monkeypatch.delenv("IMGPIPE_TEST_ENDPOINT", raising=False)
    for name, value in (("_docker", lambda: True), ("_runs", lambda: runs), ("_stack", stack)):
        monkeypatch.setattr(bench.localstack, name, value)
    options = bench.harness.Options(quick=True, folder=tmp_path, progress=lambda _: None)
    [ratio], _ = bench.localstack.against_localstack(1.5, options)
    assert ratio.detail.endswith(f"against {said}")
    assert stopped == [not runs]
