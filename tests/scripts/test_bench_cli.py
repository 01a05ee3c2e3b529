"""The benchmark of the command line compares like with like, and judges by the worse figure."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The program's modules, importable as they are under ./scripts/bench."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    from benchmarks import cli, harness, targets

    return SimpleNamespace(cli=cli, harness=harness, targets=targets)


def test_every_target_of_the_part_is_judged_by_one_task(bench: SimpleNamespace) -> None:
    judged = [task.target for task in bench.cli.tasks("http://127.0.0.1:1") if task.target]
    assert sorted(judged) == sorted(key for key, target in bench.targets.TARGETS.items() if target.part == "cli")


def test_every_task_is_done_by_imgpipe_and_by_tools_that_are_installed(bench: SimpleNamespace) -> None:
    for task in bench.cli.tasks("http://127.0.0.1:1"):
        assert bench.cli.OURS in task.commands
        assert task.commands.keys() <= {bench.cli.OURS, *bench.cli.PEERS.values()}


def test_the_worse_of_cpu_and_elapsed_time_counts(bench: SimpleNamespace) -> None:
    samples = {
        bench.cli.PYTHON: [bench.harness.Sample(20, 20)] * 3,
        bench.cli.OURS: [bench.harness.Sample(100, 60)] * 3,
    }
    assert bench.cli._ratio("meta/python", samples).value == 5
    samples[bench.cli.OURS] = [bench.harness.Sample(40, 120)] * 3
    assert bench.cli._ratio("meta/python", samples).value == 6


def test_tools_meet_an_environment_without_what_this_one_says_of_python_aws_and_imgpipe(
    bench: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONDONTWRITEBYTECODE", "AWS_PROFILE", "IMGPIPE_REGION"):
        monkeypatch.setenv(name, "1")
    env = bench.cli._environment(tmp_path, 4580)
    assert not {"PYTHONDONTWRITEBYTECODE", "AWS_PROFILE", "IMGPIPE_REGION"} & env.keys()
    assert env["IMGPIPE_TARGET"] == "local"
    assert env["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4580"
