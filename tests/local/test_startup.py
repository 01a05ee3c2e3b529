"""What looking at images brings in and asks AWS for: the facts that keep it quick."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pictures
import pytest
from commandline import clean_environment

from .conftest import Pipeline, free_port

LOOKS = {"meta": ["meta", "a.jpg"], "ls": ["ls"], "logs": ["logs"]}
NEVER = {
    "rich",
    "PIL",
    "ministack",
    "hypercorn",
    "uvicorn",
    "boto3",
    "s3transfer",
    "pydantic",
    "asyncio",
    "aws_lambda_powertools",
}
"""What no look at images needs when nobody watches on a terminal."""

NOT_HERE = {"tomllib", "imgpipe.configreader", "imgpipe.stack.parameters", "imgpipe.stack.deploy"}
"""What they need only where there is a file to read, or something to find out about the stack."""


@pytest.fixture(scope="module", autouse=True)
def image(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> None:
    photo = tmp_path_factory.mktemp("photo") / "a.jpg"
    photo.write_bytes(pictures.saved(pictures.scene(40, 30), "JPEG"))
    assert pipeline.imgpipe("upload", str(photo)).status == 0


def modules_after(pipeline: Pipeline, *arguments: str, **env: str) -> set[str]:
    program = (
        "import json, sys; sys.argv = ['imgpipe', *json.loads(sys.argv[1])]\n"
        "from imgpipe.__main__ import main\n"
        "assert main() == 0; print('\\n' + json.dumps(list(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(pipeline.home) | env,
        cwd=pipeline.home,
    )
    names = set(json.loads(done.stdout.splitlines()[-1]))
    return names | {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("arguments", [*LOOKS.values(), ["meta", "a.jpg", "--json"]], ids=" ".join)
def test_a_look_into_a_pipe_imports_botocore_and_little_else(pipeline: Pipeline, arguments: list[str]) -> None:
    loaded = modules_after(pipeline, *arguments)
    assert "botocore" in loaded
    assert not loaded & (NEVER | NOT_HERE)


def test_what_is_left_out_there_is_found_by_the_same_means_where_it_is_needed(pipeline: Pipeline) -> None:
    (pipeline.home / "imgpipe.toml").write_text('region = "us-east-1"\n')
    try:
        loaded = modules_after(pipeline, "status", FORCE_COLOR="1", TERM="xterm")
    finally:
        (pipeline.home / "imgpipe.toml").unlink()
    assert loaded >= NOT_HERE | {"rich"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The AWS operations that commands ask for in this process, those that are tried again each time."""
    from botocore.httpsession import URLLib3Session

    asked: list[str] = []
    send = URLLib3Session.send

    def note(self: Any, request: Any) -> Any:
        target = request.headers.get("X-Amz-Target") or request.url
        asked.append((target.decode() if isinstance(target, bytes) else target).rpartition(".")[2])
        return send(self, request)

    monkeypatch.setattr(URLLib3Session, "send", note)
    return asked


@pytest.mark.parametrize(
    ("arguments", "operation"),
    [(LOOKS["meta"], "GetItem"), (LOOKS["ls"], "Scan"), (LOOKS["logs"], "FilterLogEvents")],
    ids=LOOKS,
)
def test_a_look_is_one_call(pipeline: Pipeline, calls: list[str], arguments: list[str], operation: str) -> None:
    assert pipeline.imgpipe(*arguments).status == 0
    assert calls == [operation]


def test_only_who_finds_nothing_asks_for_the_stack(pipeline: Pipeline, calls: list[str]) -> None:
    assert pipeline.imgpipe("meta", "nope.jpg").status == 1
    assert calls[0] == "GetItem"
    assert len(calls) > 1


def test_where_an_engine_has_no_stack_that_is_what_is_missing(tmp_path: Path) -> None:
    empty = Pipeline(tmp_path, free_port())
    try:
        empty.target.start(lambda _: None)
        for arguments in LOOKS.values():
            done = empty.imgpipe(*arguments, "--json")
            assert (done.status, done.document["error"]["code"]) == (4, "not_up")
            assert "no stack" in done.document["error"]["message"]
    finally:
        empty.target.destroy()
