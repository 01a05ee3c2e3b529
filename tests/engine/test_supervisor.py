"""Engines are started once, found again, proven, ended whole and never mistaken for another process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from imgpipe.aws import Clients
from imgpipe.engine import supervisor
from imgpipe.engine.folder import Running, StageFolder
from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.targets.local import LocalTarget

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def quiet(_: str) -> None:
    """Progress that nobody looks at."""


def running(home: Path, stage: str = "alone") -> Running:
    found = StageFolder(home / stage).running()
    assert found is not None
    return found


def processes_of(engine: int) -> list[int]:
    """The engine and its workers: the live members of its process group."""
    listing = subprocess.run(["/bin/ps", "-A", "-o", "pid=,pgid=,stat="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listing.stdout.splitlines())
    return [int(pid) for pid, group, state in rows if int(group) == engine and not state.startswith("Z")]


@contextmanager
def occupied() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_nothing_runs_until_it_is_started(local: LocalTarget, home: Path) -> None:
    with pytest.raises(ImgpipeError) as refused:
        local.connect()
    assert refused.value.status is ExitStatus.UNREACHABLE
    assert refused.value.hint == "imgpipe --stage alone up"
    assert local.stop() is False
    local.destroy()
    assert not home.exists()


def test_a_running_engine_is_left_alone(local: LocalTarget, home: Path) -> None:
    first = local.start(quiet)
    pid = running(home).pid
    assert local.start(quiet) == first == local.connect()
    assert running(home).pid == pid


def test_an_engine_that_was_killed_a_moment_ago_does_not_stand_in_the_way(local: LocalTarget, home: Path) -> None:
    local.start(quiet)
    killed = running(home).pid
    os.kill(killed, signal.SIGKILL)
    local.start(quiet)
    assert running(home).pid != killed


def test_a_stage_lives_in_one_region(local: LocalTarget, home: Path) -> None:
    local.start(quiet)
    elsewhere = LocalTarget("alone", home, None, "eu-west-1")
    for attempt in (elsewhere.connect, lambda: elsewhere.start(quiet)):
        with pytest.raises(ImgpipeError, match="is in the region us-east-1, not in eu-west-1") as caught:
            attempt()
        assert caught.value.status == 2


def test_two_starts_at_once_end_with_one_engine(home: Path, local: LocalTarget) -> None:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(local.start(quiet))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert processes_of(running(home).pid) == [running(home).pid]


def test_the_folder_of_a_stage_is_private(local: LocalTarget, home: Path) -> None:
    local.start(quiet)
    assert (home / "alone").stat().st_mode & 0o777 == 0o700
    for path in (home / "alone").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path.name == "engine.log", path


@pytest.mark.parametrize("which", ["dead", "foreign"])
def test_a_record_without_its_engine_is_a_leftover(local: LocalTarget, home: Path, which: str) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as other:
        if which == "dead":
            other.kill()
            other.wait()
        (home / "alone").mkdir(parents=True)
        (home / "alone" / "engine.json").write_text(json.dumps({"pid": other.pid, "port": 1, "token": "t"}))

        with pytest.raises(ImgpipeError) as refused:
            local.connect()
        assert refused.value.code == "not_up"
        assert local.stop() is False
        local.start(quiet)
        local.destroy()

        assert other.poll() == (None if which == "foreign" else -signal.SIGKILL)
        other.kill()


def test_whoever_answers_on_the_port_must_prove_to_be_the_engine(
    local: LocalTarget, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.start(quiet)
    monkeypatch.setattr(supervisor, "_STOP_TIMEOUT", 0.1)
    record = home / "alone" / "engine.json"
    engine = running(home)
    record.write_text(json.dumps({"pid": engine.pid, "port": engine.port, "token": "another"}))
    with pytest.raises(ImgpipeError, match="does not answer"):
        local.connect()
    record.write_text(json.dumps({"pid": engine.pid, "port": engine.port, "token": engine.token}))


def test_a_port_that_was_asked_for_must_be_free(home: Path) -> None:
    with occupied() as port, pytest.raises(ImgpipeError) as refused:
        LocalTarget("alone", home, port, "us-east-1").start(quiet)
    assert refused.value.code == "port_busy"
    assert refused.value.status is ExitStatus.UNREACHABLE
    assert f"lsof -i :{port}" in refused.value.hint
    assert re.search(rf"IMGPIPE_PORT=(?!{port})[0-9]+ imgpipe up", refused.value.hint)


def test_another_stage_on_the_port_is_named(local: LocalTarget, home: Path) -> None:
    local.start(quiet)
    with pytest.raises(ImgpipeError, match="taken by the engine of the stage 'alone'"):
        LocalTarget("second", home, running(home).port, "us-east-1").start(quiet)


def test_a_busy_default_falls_to_a_free_port_which_is_kept(
    local: LocalTarget, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with occupied() as port:
        monkeypatch.setattr(supervisor, "DEFAULT_PORT", port)
        first = local.start(quiet)
        assert running(home).port != port
    assert local.stop() is True
    assert local.start(quiet) == first


def test_a_path_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = LocalTarget("alone", tmp_path / "file" / "home", None, "us-east-1")
    with pytest.raises(ImgpipeError) as refused:
        target.start(quiet)
    assert refused.value.code == "state_unusable"
    assert refused.value.status is ExitStatus.FAILED
    assert str(tmp_path / "file" / "home") in refused.value.message
    assert "IMGPIPE_HOME" in refused.value.hint
    with pytest.raises(ImgpipeError, match="not up"):
        target.connect()
    assert target.stop() is False
    target.destroy()


def test_state_that_cannot_be_written_is_refused(local: LocalTarget, home: Path) -> None:
    (home / "alone").mkdir(parents=True)
    (home / "alone" / "s3").write_text("not a folder")
    with pytest.raises(ImgpipeError, match=r"cannot be kept in .*s3") as refused:
        local.start(quiet)
    assert refused.value.code == "state_unusable"


def test_an_engine_that_ends_while_it_starts_says_why(
    local: LocalTarget, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken" / "hypercorn"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('hypercorn is broken')")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    with pytest.raises(ImgpipeError, match="hypercorn is broken") as refused:
        local.start(quiet)
    assert refused.value.code == "engine_failed"
    assert "engine.log" in refused.value.hint
    assert not StageFolder(home / "alone").is_held()


@on_linux
def test_the_engine_sees_nothing_secret_of_the_environment(
    local: LocalTarget, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "GITHUB_TOKEN", "HTTPS_PROXY", "MINISTACK_HOST"):
        monkeypatch.setenv(name, "planted")
    local.start(quiet)
    environ = Path(f"/proc/{running(home).pid}/environ").read_text()
    assert "planted" not in environ
    assert "PERSIST_STATE=1" in environ


@on_linux
def test_only_loopback_listens(local: LocalTarget, home: Path) -> None:
    local.start(quiet)
    engine = running(home)
    held = {str(one.readlink()) for one in Path(f"/proc/{engine.pid}/fd").iterdir()}
    listening = []
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/{engine.pid}/net/{table}").read_text().splitlines()[1:]:
            field = row.split()
            if field[3] == "0A" and f"socket:[{field[9]}]" in held:
                listening.append(field[1])
    assert listening == [f"0100007F:{engine.port:04X}"]


def _busy_flow(local: LocalTarget, make_flow: Callable[..., Any]) -> Any:
    """A flow on its own engine with two workers in the middle of something long."""
    flow = make_flow(Clients(local.start(quiet)), visibility=600, timeout=300)
    for n in range(2):
        flow.order(do="sleep", seconds=300, n=n)
    flow.take("seen", 2)
    return flow


def test_stop_takes_the_workers_along(local: LocalTarget, home: Path, make_flow: Callable[..., Any]) -> None:
    _busy_flow(local, make_flow)
    engine = running(home).pid
    assert len(processes_of(engine)) == 3

    assert local.stop() is True
    assert processes_of(engine) == []
    assert (home / "alone" / "state").is_dir()


def test_an_engine_that_hangs_is_killed_with_its_workers(
    local: LocalTarget, home: Path, make_flow: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _busy_flow(local, make_flow)
    engine = running(home).pid
    os.kill(engine, signal.SIGSTOP)
    monkeypatch.setattr(supervisor, "_STOP_TIMEOUT", 0.5)
    local.destroy()
    assert processes_of(engine) == []
    assert not (home / "alone").exists()


def test_workers_do_not_outlive_a_killed_engine_and_their_messages_come_back(
    local: LocalTarget, home: Path, make_flow: Callable[..., Any], until: Callable[..., Any]
) -> None:
    flow = _busy_flow(local, make_flow)
    saved = StageFolder(home / "alone").saved

    def receives() -> list[int]:
        queues = json.loads(saved.read_bytes())["services"].get("sqs", {}).get("state", {"queues": {"data": {}}})
        jobs = (one for one in queues["queues"]["data"].values() if one["name"].endswith("-jobs"))
        return [message["receive_count"] for one in jobs for message in one["messages"]]

    until(lambda: receives() == [1, 1])
    engine = running(home)
    os.kill(engine.pid, signal.SIGKILL)
    until(lambda: processes_of(engine.pid) == [])

    # The queues are found again on another port, too.
    with socket.create_server(("127.0.0.1", engine.port)):
        flow.clients = Clients(local.start(quiet))
    assert running(home).port != engine.port
    assert sorted(one["receives"] for one in flow.take("seen", 2)) == [2, 2]
