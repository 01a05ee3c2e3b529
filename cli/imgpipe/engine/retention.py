"""What keeps a long-lived engine small: old log lines go, by their group's retention and by number."""

from __future__ import annotations

import time

from ministack.services import cloudwatch_logs

KEPT_EVENTS = 50_000
"""Log lines kept of one group, newest first: about ten thousand images."""

_DAY_MS = 24 * 3600 * 1000


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
