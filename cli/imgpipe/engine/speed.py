"""Where ministack spends time that nothing is won by: each function replaces private names and says what it saves.

What is served is the same with and without them. They hold for the version that `patches` is written for.
"""

from __future__ import annotations

import contextlib
import time
from queue import Empty
from types import SimpleNamespace
from typing import Any

from ministack import app
from ministack.core import lambda_runtime, responses
from ministack.services import lambda_svc, s3

from imgpipe.engine.later import postponed

with postponed():
    from ministack.services.cloudformation import engine as templates


def apply() -> None:
    """Apply all of it. Called once, after the patches and before ministack serves."""
    _logs_end_with_a_mark()
    _the_next_event_need_not_wait()
    _checksums_are_computed_once()
    _templates_are_parsed_in_c()
    _protocols_need_no_botocore()
    _web_pages_are_not_invited()


_MARK = "\0"
_MARK_TIMEOUT = 1.0
"""Seconds until the lines of a worker that says no more are taken as they are: it may have closed its own stderr."""


def _logs_end_with_a_mark() -> None:
    """Lines are taken until none came for 5 ms, so every event waits for that, and a late line joins the next one."""
    worker = lambda_runtime.Worker
    guess, at_once = worker._drain_stderr_bounded, worker._drain_stderr
    reported = "        _real_stdout.flush()\n\nrun()"
    marked = f"        sys.__stderr__.write({_MARK + chr(10)!r})\n        sys.__stderr__.flush()\n{reported}"
    lambda_runtime._PYTHON_WORKER_SCRIPT = lambda_runtime._PYTHON_WORKER_SCRIPT.replace(reported, marked)

    def read(self: Any) -> None:
        lines = self._stderr_queue
        try:
            for line in self._proc.stderr:
                lines.put(line.rstrip("\n"))
        except (AttributeError, OSError, ValueError):
            pass  # the worker is gone
        finally:
            lines.put(_MARK)

    def until_the_mark(self: Any) -> str:
        if not self.config.get("Runtime", "").startswith("python"):
            return str(guess(self))
        lines: list[str] = []
        deadline = time.monotonic() + _MARK_TIMEOUT
        with contextlib.suppress(Empty):
            while not (line := self._stderr_queue.get(timeout=max(0.0, deadline - time.monotonic()))).endswith(_MARK):
                lines.append(line)
            # A line without an end has the mark behind it.
            lines += [line[: -len(_MARK)]] if line != _MARK else []
        return "\n".join(lines)

    worker._read_stderr, worker._drain_stderr_bounded = read, until_the_mark
    worker._drain_stderr = lambda self: at_once(self).replace(_MARK, "")


def _the_next_event_need_not_wait() -> None:
    """A queue is not looked at for 50 ms after a look that found nothing, and the end of every event causes one."""
    lambda_svc._ESM_IDLE_WAKE_GAP_SECONDS = 0.002


def _checksums_are_computed_once() -> None:
    """A checksum that a client sends, and names as its algorithm, is computed over the whole body twice."""
    resolve = s3._resolve_object_checksums

    def once(body: bytes, headers: dict[str, str]) -> Any:
        named = headers.get("x-amz-sdk-checksum-algorithm", "").lower()
        if named in s3._S3_CHECKSUM_HEADERS and headers.get(f"x-amz-checksum-{named}"):
            headers = {name: value for name, value in headers.items() if name != "x-amz-sdk-checksum-algorithm"}
        return resolve(body, headers)

    s3._resolve_object_checksums = once


def _templates_are_parsed_in_c() -> None:
    """PyYAML's own scanner takes a tenth of a second for the pipeline's template, which every change set reads."""
    yaml = templates.yaml
    if yaml.__with_libyaml__:
        tags = {"yaml_constructors": templates.CfnLoader.yaml_constructors}
        templates.CfnLoader = type("CfnLoader", (yaml.CSafeLoader,), tags)


PROTOCOLS = {
    "cloudformation": {"protocol": "query"},
    "dynamodb": {"protocol": "json", "jsonVersion": "1.0"},
    "iam": {"protocol": "query"},
    "lambda": {"protocol": "rest-json"},
    "logs": {"protocol": "json", "jsonVersion": "1.1"},
    "monitoring": {"protocol": "smithy-rpc-v2-cbor", "jsonVersion": "1.0"},
    "s3": {"protocol": "rest-xml"},
    "sns": {"protocol": "query"},
    "sqs": {"protocol": "json", "jsonVersion": "1.0"},
    "sts": {"protocol": "query"},
}
"""How the services of the pipeline's stack speak, as botocore's models say it."""


def _protocols_need_no_botocore() -> None:
    """To name the type of its answers, each service loads botocore and its whole model when it is first called."""
    load = responses._service_model
    known = {service: SimpleNamespace(metadata=metadata) for service, metadata in PROTOCOLS.items()}
    responses._service_model = lambda service: known.get(service) or load(service)


def _web_pages_are_not_invited() -> None:
    """Every answer tells browsers that any page may read it, in four lines that every client parses.

    The guard lets no page in anyway: it refuses whatever carries an Origin.
    """
    listed = app._asgi_header_list

    def for_programs(headers: dict[str, Any]) -> Any:
        return listed({name: value for name, value in headers.items() if not name.startswith("Access-Control-")})

    app._asgi_header_list = for_programs
