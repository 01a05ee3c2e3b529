"""Old log lines, histories and answers go, and the bytes of objects stay on the disk."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ministack.services import cloudwatch, cloudwatch_logs, s3

from imgpipe.aws import Clients
from imgpipe.engine import retention
from imgpipe.engine.folder import StageFolder
from imgpipe.targets.local import LocalTarget

NOW = int(time.time() * 1000)
DAY = 24 * 3600 * 1000


def group(days: int | None, ages: dict[str, int], lines: int = 10) -> dict[str, Any]:
    """A log group with one stream per name, `ages` days old."""
    streams = {
        name: {"events": [{"timestamp": NOW - age * DAY}] * lines, "lastEventTimestamp": NOW - age * DAY}
        for name, age in ages.items()
    }
    return {"retentionInDays": days, "streams": streams}


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Any:
    """ministack's log groups, none yet."""
    empty = type(cloudwatch_logs._log_groups)()
    monkeypatch.setattr(cloudwatch_logs, "_log_groups", empty)
    return empty


def test_lines_older_than_the_retention_go(groups: Any) -> None:
    groups["short"], groups["endless"] = group(3, {"new": 1, "old": 4}), group(None, {"new": 1, "old": 4})
    retention.prune_logs()
    assert set(groups["short"]["streams"]) == {"new"}
    assert set(groups["endless"]["streams"]) == {"new", "old"}


def test_the_oldest_lines_of_too_many_go(groups: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "KEPT_EVENTS", 25)
    groups["busy"] = group(None, {"first": 3, "third": 1, "second": 2, "fourth": 0})
    retention.prune_logs()
    assert set(groups["busy"]["streams"]) == {"third", "fourth"}


def test_the_oldest_state_changes_of_alarms_go(monkeypatch: pytest.MonkeyPatch) -> None:
    history = type(cloudwatch._alarm_history)()
    monkeypatch.setattr(cloudwatch, "_alarm_history", history)
    history["entries"] = list(range(retention.KEPT_HISTORY + 5))
    retention.prune()
    assert history["entries"] == list(range(5, retention.KEPT_HISTORY + 5))


def test_answers_to_old_multipart_uploads_go(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = type(s3._completed_multipart_uploads)()
    monkeypatch.setattr(s3, "_completed_multipart_uploads", answers)
    for number in range(retention.KEPT_UPLOADS + 5):
        answers[str(number)] = {}
    retention.prune()
    assert (len(answers), "4" in answers, "5" in answers) == (retention.KEPT_UPLOADS, False, True)


def test_versions_are_served_from_the_disk_and_not_kept_in_memory(local: LocalTarget, home: Path) -> None:
    client, megabyte = Clients(local.start(lambda _: None))["s3"], b"x" * 1_000_000
    client.create_bucket(Bucket="versions")
    client.put_object(Bucket="versions", Key="before", Body=b"unversioned")
    client.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket="versions", Key="before", Body=b"versioned")
    before = resident(home)
    made = [client.put_object(Bucket="versions", Key="key", Body=b"%d" % n + megabyte)["VersionId"] for n in range(60)]
    assert resident(home) - before < 30_000_000

    def body(key: str, **version: str) -> bytes:
        return bytes(client.get_object(Bucket="versions", Key=key, **version)["Body"].read())

    assert [body("key", VersionId=made[n]) == b"%d" % n + megabyte for n in (0, 30, 59)] == [True] * 3
    assert body("before", VersionId="null") == b"unversioned"
    marker = client.delete_object(Bucket="versions", Key="key")["VersionId"]
    client.delete_object(Bucket="versions", Key="key", VersionId=marker)
    assert body("key") == b"59" + megabyte
    client.delete_object(Bucket="versions", Key="key", VersionId=made[59])
    assert body("key") == b"58" + megabyte
    client.copy_object(
        Bucket="versions", Key="copy", CopySource={"Bucket": "versions", "Key": "key", "VersionId": made[7]}
    )
    assert body("copy") == b"7" + megabyte


def resident(home: Path) -> int:
    """Bytes of memory that the engine has."""
    engine = StageFolder(home / "alone").running()
    assert engine is not None
    listed = subprocess.run(
        ["/bin/ps", "-o", "rss=", "-p", str(engine.pid)], capture_output=True, text=True, check=True
    )
    return int(listed.stdout) * 1024
