"""A killed engine comes back with everything, and a state that cannot be read is refused and kept."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ministack.core.responses import AccountRegionScopedDict

from imgpipe.aws import Clients
from imgpipe.engine import checkpoint
from imgpipe.engine.folder import StageFolder
from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.targets.local import LocalTarget


def quiet(_: str) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def folder(home: Path) -> StageFolder:
    return StageFolder(home / "alone")


def kill(folder: StageFolder, until: Callable[..., Any]) -> None:
    engine = folder.running()
    assert engine is not None
    os.kill(engine.pid, signal.SIGKILL)
    until(lambda: not folder.is_held())


def saved(folder: StageFolder, *texts: str) -> Callable[[], bool]:
    """Whether the saved state has each of these texts in it."""

    def has() -> bool:
        held = folder.saved.read_text()
        return all(text in held for text in texts)

    return has


def make_table(clients: Clients) -> None:
    clients["dynamodb"].create_table(
        TableName="rows",
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def put_rows(clients: Clients, *keys: str) -> None:
    for key in keys:
        clients["dynamodb"].put_item(TableName="rows", Item={"key": {"S": key}, "n": {"N": "7"}})


def test_everything_survives_a_kill(
    local: LocalTarget, folder: StageFolder, make_flow: Callable[..., Any], until: Callable[..., Any]
) -> None:
    clients = Clients(local.start(quiet))
    flow = make_flow(clients)
    make_table(clients)
    put_rows(clients, *(f"row{n}" for n in range(30)))
    clients["logs"].create_log_group(logGroupName="lines")
    clients["logs"].create_log_stream(logGroupName="lines", logStreamName="one")
    events = [{"timestamp": 1_700_000_000_000 + n, "message": f"line {n}"} for n in range(5)]
    clients["logs"].put_log_events(logGroupName="lines", logStreamName="one", logEvents=events)
    clients["s3"].create_bucket(Bucket="kept")
    clients["s3"].put_object(Bucket="kept", Key="a/b", Body=b"bytes", ContentType="image/png", Metadata={"user": "u"})
    clients["sqs"].send_message(QueueUrl=flow.url("dead"), MessageBody='"waiting"')
    until(saved(folder, "CREATE_COMPLETE", "row29", "line 4", "kept", "waiting"))
    kill(folder, until)

    flow.clients = clients = Clients(local.start(quiet))

    [stack] = clients["cloudformation"].describe_stacks(StackName=flow.name)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert clients["dynamodb"].scan(TableName="rows", Select="COUNT")["Count"] == 30
    found = clients["logs"].filter_log_events(logGroupName="lines")["events"]
    assert [one["message"] for one in found] == [f"line {n}" for n in range(5)]
    answer = clients["s3"].get_object(Bucket="kept", Key="a/b")
    assert (answer["Body"].read(), answer["ContentType"], answer["Metadata"]) == (b"bytes", "image/png", {"user": "u"})
    assert flow.take("dead", 1) == ["waiting"]
    flow.order(do="work")
    assert flow.take("seen", 1)[0]["receives"] == 1
    clients["cloudformation"].delete_stack(StackName=flow.name)
    clients["cloudformation"].get_waiter("stack_delete_complete").wait(StackName=flow.name, WaiterConfig={"Delay": 0.1})


def test_a_clean_stop_loses_nothing_however_recent(local: LocalTarget) -> None:
    clients = Clients(local.start(quiet))
    make_table(clients)
    put_rows(clients, "last")
    local.stop()
    clients = Clients(local.start(quiet))
    assert clients["dynamodb"].scan(TableName="rows")["Items"] == [{"key": {"S": "last"}, "n": {"N": "7"}}]


def test_versions_and_delete_markers_survive_a_kill(
    local: LocalTarget, folder: StageFolder, until: Callable[..., Any]
) -> None:
    s3, at = Clients(local.start(quiet))["s3"], {"Bucket": "versions", "Key": "k"}
    s3.create_bucket(Bucket="versions")
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    until(saved(folder, '"Enabled"'))

    def again() -> Any:
        kill(folder, until)
        return Clients(local.start(quiet))["s3"]

    def serves(body: bytes, version: str) -> None:
        answer = s3.get_object(**at)
        assert (answer["Body"].read(), answer["VersionId"]) == (body, version)
        assert answer["Metadata"] == {"body": body.decode()}

    one, two, three = (
        s3.put_object(**at, Body=body, Metadata={"body": body.decode()})["VersionId"]
        for body in (b"one", b"two", b"three")
    )
    marker = s3.delete_object(**at)["VersionId"]
    s3 = again()
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(**at)
    s3.delete_object(**at, VersionId=marker)
    serves(b"three", three)
    s3 = again()
    serves(b"three", three)
    s3.delete_object(**at, VersionId=one)
    s3.delete_object(**at, VersionId=three)
    serves(b"two", two)
    s3 = again()
    serves(b"two", two)
    assert [one["VersionId"] for one in s3.list_object_versions(Bucket="versions")["Versions"]] == [two]


def test_nothing_is_written_when_nothing_changed(
    local: LocalTarget, folder: StageFolder, until: Callable[..., Any]
) -> None:
    clients = Clients(local.start(quiet))
    make_table(clients)
    until(saved(folder, "rows"))
    before = folder.saved.stat().st_mtime_ns
    asked_until = time.monotonic() + 2 * checkpoint.INTERVAL + 0.5
    until(lambda: clients["dynamodb"].list_tables() and time.monotonic() > asked_until)
    assert folder.saved.stat().st_mtime_ns == before


def test_what_is_saved_is_whole_at_every_moment(
    local: LocalTarget, folder: StageFolder, until: Callable[..., Any]
) -> None:
    clients = Clients(local.start(quiet))
    make_table(clients)
    numbers = itertools.count()

    def busy() -> bool:
        put_rows(clients, f"row{next(numbers)}")
        services = json.loads(folder.saved.read_bytes())["services"]
        return "dynamodb" in services and "row9" in json.dumps(services["dynamodb"])

    until(busy)


@pytest.mark.parametrize("key", ["plain.jpg", "IMG 1é.JPG"])
def test_older_versions_of_any_key_survive_a_kill(
    key: str, local: LocalTarget, folder: StageFolder, until: Callable[..., Any]
) -> None:
    client = Clients(local.start(quiet))["s3"]
    client.create_bucket(Bucket="kept")
    client.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    until(saved(folder, "kept"))
    made = [client.put_object(Bucket="kept", Key=key, Body=b"%d" % n)["VersionId"] for n in range(3)]
    marker = client.delete_object(Bucket="kept", Key=key)["VersionId"]
    kill(folder, until)
    client = Clients(local.start(quiet))["s3"]
    listed = client.list_object_versions(Bucket="kept")
    assert {one["VersionId"] for one in listed["Versions"]} == set(made)
    client.delete_object(Bucket="kept", Key=key, VersionId=marker)
    assert client.get_object(Bucket="kept", Key=key)["Body"].read() == b"2"


def test_a_state_that_changes_while_it_is_read_is_read_again() -> None:
    attempts = iter([RuntimeError("dictionary changed size during iteration")] * 3)

    def get_state() -> dict[str, int]:
        for error in attempts:
            raise error
        return {"n": 1}

    held = checkpoint._held("sqs", get_state)
    assert held is not None
    assert held["state"] == {"n": 1}


def scoped(value: Any) -> AccountRegionScopedDict:
    """What services keep their things in, with one thing in it."""
    made = AccountRegionScopedDict()
    made["key"] = value
    return made


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": {}, "b": [], "c": None, "d": b"bytes", "e": "é", "f": True},
        list(range(401)),
        {str(n): {"x": [n]} for n in range(400)},
        {"few": {"many": {str(n): [] for n in range(201)}}},
        {"scoped": scoped([{"n": 1}] * 300)},
    ],
)
def test_what_is_encoded_in_pieces_is_what_would_be_encoded_at_once(value: Any) -> None:
    assert json.loads(b"".join(checkpoint._pieces(value))) == json.loads(checkpoint._json(value))


def test_a_long_log_is_encoded_in_many_pieces() -> None:
    group = {"group": {"streams": {str(n): {"events": ["a line"] * 5} for n in range(10_000)}}}
    assert max(map(len, checkpoint._pieces(group))) < 50_000


def _truncate(folder: StageFolder) -> str:
    folder.saved.write_bytes(folder.saved.read_bytes()[:-20])
    return "services.json: it is damaged"


def _not_ours(folder: StageFolder) -> str:
    folder.saved.write_text("[]")
    return "services.json: it is damaged"


def _edit(folder: StageFolder, change: Callable[[dict[str, Any]], object]) -> None:
    held = json.loads(folder.saved.read_bytes())
    change(held)
    folder.saved.write_text(json.dumps(held))


def _newer(folder: StageFolder) -> str:
    _edit(folder, lambda held: held.update(format=2))
    return "services.json: another version has written it"


def _newer_part(folder: StageFolder) -> str:
    _edit(folder, lambda held: held["services"]["s3"].update(format=99))
    return "services.json: a newer version has written the part of s3"


def _not_a_state(folder: StageFolder) -> str:
    _edit(folder, lambda held: held["services"]["sqs"].update(state="not a mapping"))
    return "services.json: the part of sqs is not what it should be"


def _unknown(folder: StageFolder) -> str:
    _edit(folder, lambda held: held["services"].update(quantum={"format": 1, "state": {}}))
    return "services.json: the part of quantum is not what it should be"


def _no_objects(folder: StageFolder) -> str:
    shutil.rmtree(folder.objects)
    return "s3: the folder is missing"


def _no_code(folder: StageFolder) -> str:
    shutil.rmtree(folder.state / "lambda-blobs")
    return "lambda-blobs: the code of flow"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, make_flow: Callable[..., Any]) -> Path:
    """The folder of a stopped engine that has something of everything."""
    home = tmp_path_factory.mktemp("filled")
    target = LocalTarget("filled", home, None, "us-east-1")
    try:
        clients = Clients(target.start(quiet))
        make_flow(clients)
        make_table(clients)
        clients["s3"].create_bucket(Bucket="kept")
    finally:
        target.stop()
    return home / "filled"


@pytest.mark.parametrize(
    "damage", [_truncate, _not_ours, _newer, _newer_part, _not_a_state, _unknown, _no_objects, _no_code]
)
def test_a_state_that_cannot_be_used_is_refused_and_kept(
    local: LocalTarget, folder: StageFolder, filled: Path, damage: Callable[[StageFolder], str]
) -> None:
    shutil.copytree(filled, folder.root)
    reason = damage(folder)

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.state.rglob("*") if path.is_file()}

    before = files()

    with pytest.raises(ImgpipeError) as refused:
        local.start(quiet)

    assert refused.value.code == "state_corrupt"
    assert refused.value.status is ExitStatus.FAILED
    assert reason in refused.value.message
    assert "imgpipe down --yes" in refused.value.hint
    assert files() == before
    assert not folder.is_held()
    local.destroy()
    assert not folder.root.exists()
