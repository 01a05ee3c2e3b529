"""What keeps a long-lived engine small: bytes that lie on the disk are not kept in memory, and what is old goes."""

from __future__ import annotations

import time
from typing import Any

from ministack.services import cloudwatch, cloudwatch_logs, s3

KEPT_HISTORY = 1000
"""State changes of alarms kept of one account and region, newest last."""
KEPT_UPLOADS = 100
"""Completed multipart uploads whose answer a client may still ask for again."""
KEPT_EVENTS = 50_000
"""Log lines kept of one group, newest first: about ten thousand images."""

_DAY_MS = 24 * 3600 * 1000


def apply() -> None:
    """Replace what ministack keeps in memory although it has written it to the disk. Called once, before it serves."""
    entry = s3._version_entry_from_record

    def without_bytes(obj: dict[str, Any], version_id: str, data: Any) -> dict[str, Any]:
        """Every upload to a versioned bucket would stay in memory; a restarted ministack has them on the disk only."""
        return {**entry(obj, version_id, data), "data": None}

    if s3.S3_PERSIST:
        s3._version_entry_from_record = without_bytes


def prune() -> None:
    """Remove the oldest of everything that grows by itself."""
    prune_logs()
    for entries in list(cloudwatch._alarm_history._data.values()):
        del entries[:-KEPT_HISTORY]
    uploads = s3._completed_multipart_uploads._data
    for upload in list(uploads)[:-KEPT_UPLOADS]:
        uploads.pop(upload, None)


def prune_logs() -> None:
    """Remove what is older than a group's retention, and the oldest streams of a group with too many lines.

    Every invocation has a stream of its own here, so a stream is either young or old as a whole.
    """
    now = int(time.time() * 1000)
    for group in list(cloudwatch_logs._log_groups._data.values()):
        with cloudwatch_logs._log_events_lock:
            streams = group["streams"]
            oldest = now - group["retentionInDays"] * _DAY_MS if group.get("retentionInDays") else 0
            kept = 0
            for name in sorted(streams, key=lambda one: streams[one]["lastEventTimestamp"] or now, reverse=True):
                kept += len(streams[name]["events"])
                if (streams[name]["lastEventTimestamp"] or now) < oldest or kept > KEPT_EVENTS:
                    del streams[name]
