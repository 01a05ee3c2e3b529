"""What makes the engine quick, as facts: the same answers with less done, and what it does not load at all."""

from __future__ import annotations

import base64
import inspect
import json
import os
import subprocess
import sys
import zlib
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ministack import app
from ministack.core import lambda_runtime, responses
from ministack.services import lambda_svc, s3

from imgpipe.engine import speed


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test lets `speed` replace is put back."""
    for module, names in {
        lambda_runtime: ("_PYTHON_WORKER_SCRIPT",),
        lambda_runtime.Worker: ("_read_stderr", "_drain_stderr", "_drain_stderr_bounded"),
        lambda_svc: ("_ESM_IDLE_WAKE_GAP_SECONDS",),
        s3: ("_resolve_object_checksums", "_compute_s3_checksum"),
        speed.templates: ("CfnLoader",),
        responses: ("_service_model",),
        app: ("_asgi_header_list",),
    }.items():
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))


class _Worker(lambda_runtime.Worker):  # type: ignore[misc]
    """A worker whose process has said `lines` on stderr."""

    def __init__(self, *lines: str, runtime: str = "python3.13") -> None:
        super().__init__("function", {"Runtime": runtime}, b"")
        for line in lines:
            self._stderr_queue.put(line)


def test_the_lines_of_an_invocation_are_all_lines_up_to_its_mark() -> None:
    speed._logs_end_with_a_mark()
    worker = _Worker("first", "", "second", "\0", "of the next", "no end\0")
    assert worker._drain_stderr_bounded() == "first\n\nsecond"
    assert worker._drain_stderr_bounded() == "of the next\nno end"


def test_a_worker_that_closed_its_stderr_costs_its_lines_and_not_the_invocation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speed._logs_end_with_a_mark()
    monkeypatch.setattr(speed, "_MARK_TIMEOUT", 0.01)
    assert _Worker("only this")._drain_stderr_bounded() == "only this"


def test_a_worker_that_dies_ends_its_lines_too() -> None:
    speed._logs_end_with_a_mark()
    worker = _Worker()
    worker._proc = SimpleNamespace(stderr=iter(["last words\n"]))
    worker._read_stderr()
    assert worker._drain_stderr_bounded() == "last words"


def test_a_line_that_is_taken_at_once_has_no_mark() -> None:
    speed._logs_end_with_a_mark()
    assert _Worker("killed\0")._drain_stderr() == "killed"


def test_other_runtimes_set_no_mark_and_are_not_waited_for() -> None:
    speed._logs_end_with_a_mark()
    assert _Worker("line", runtime="nodejs22.x")._drain_stderr_bounded() == "line"


def test_a_worker_sets_its_mark_before_it_says_how_it_ended() -> None:
    speed._logs_end_with_a_mark()
    script: str = lambda_runtime._PYTHON_WORKER_SCRIPT
    compile(script, "worker", "exec")
    mark, answer = script.index("sys.__stderr__.write('\\x00\\n')"), script.rindex("_real_stdout.flush()\n\nrun()")
    assert script.index("handler_fn(event, context)") < mark < answer


def test_an_event_wakes_the_poller_which_then_looks_at_once() -> None:
    assert "esm_wake.set()" in inspect.getsource(s3._deliver_event_to_sqs)
    assert "_esm_wake.wait(" in inspect.getsource(lambda_svc._poll_loop)
    assert "time.sleep(_ESM_IDLE_WAKE_GAP_SECONDS)" in inspect.getsource(lambda_svc._poll_loop)
    speed._the_next_event_need_not_wait()
    assert lambda_svc._ESM_IDLE_WAKE_GAP_SECONDS <= 0.005


def _checksum(body: bytes) -> str:
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def test_a_checksum_is_computed_once_and_a_false_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    compute, computed = s3._compute_s3_checksum, []
    monkeypatch.setattr(s3, "_compute_s3_checksum", lambda name, body: computed.append(body) or compute(name, body))
    speed._checksums_are_computed_once()
    body = b"a photo"
    headers = {"x-amz-sdk-checksum-algorithm": "CRC32", "x-amz-checksum-crc32": _checksum(body)}
    assert s3._resolve_object_checksums(body, headers) == ({"CRC32": _checksum(body)}, None)
    assert computed.count(body) == 1
    _, refusal = s3._resolve_object_checksums(b"another photo", headers)
    assert b"BadDigest" in refusal[2]


def test_a_checksum_that_is_only_named_is_computed_and_an_unknown_one_refused() -> None:
    speed._checksums_are_computed_once()
    assert s3._resolve_object_checksums(b"x", {"x-amz-sdk-checksum-algorithm": "CRC32"})[0] == {
        "CRC32": _checksum(b"x")
    }
    unknown = {"x-amz-sdk-checksum-algorithm": "MD5", "x-amz-checksum-md5": "anything"}
    assert b"InvalidRequest" in s3._resolve_object_checksums(b"x", unknown)[1][2]


def test_a_template_means_the_same_to_both_parsers() -> None:
    template = files("imgpipe.stack").joinpath("template.yaml").read_text(encoding="utf-8")
    before = speed.templates._parse_template(template)
    speed._templates_are_parsed_in_c()
    assert issubclass(speed.templates.CfnLoader, speed.templates.yaml.CSafeLoader)
    assert speed.templates._parse_template(template) == before
    assert speed.templates._parse_template("a: 2026-01-02\nb: !GetAtt x.y.z") == {
        "a": "2026-01-02",
        "b": {"Fn::GetAtt": ["x", "y.z"]},
    }


def test_the_protocols_are_those_of_botocore() -> None:
    import botocore.session

    session = botocore.session.get_session()
    for service, known in speed.PROTOCOLS.items():
        metadata = session.get_service_model(responses._BOTOCORE_NAME.get(service, service)).metadata
        assert {name: metadata[name] for name in ("protocol", "jsonVersion") if name in metadata} == known


def test_the_types_of_answers_are_what_they_were() -> None:
    kinds = ("application/json", "text/xml", "application/xml", "image/jpeg")

    def answers() -> list[Any]:
        tell = (responses.expected_success_content_type, responses.expected_error_content_type)
        return [one(service, kind) for one in tell for service in speed.PROTOCOLS for kind in kinds]

    before = answers()
    speed._protocols_need_no_botocore()
    assert answers() == before
    assert responses._service_model("kms").metadata["protocol"] == "json"


def test_no_answer_invites_a_web_page() -> None:
    speed._web_pages_are_not_invited()
    headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "text/plain", "Set-Cookie": ["a=1", "b=2"]}
    assert app._asgi_header_list(headers) == [
        (b"Content-Type", b"text/plain"),
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
    ]


def test_an_engine_that_serves_the_pipeline_loads_neither_botocore_nor_services_that_it_does_not_have(
    tmp_path: Path,
) -> None:
    script = """
import json, sys
from imgpipe.engine import alarms, checkpoint, metrics, patches, retention, server, speed, state
from ministack.services.cloudformation import changesets, drift, provisioners
loaded = sorted(sys.modules)
provisioners._ssm.get_state
print(json.dumps([loaded, "ministack.services.ssm" in sys.modules]))
"""
    env = {**os.environ, "LOG_LEVEL": "ERROR", "S3_PERSIST": "1", "S3_DATA_DIR": str(tmp_path), "PERSIST_STATE": "0"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    loaded, later = json.loads(done.stdout)
    assert {name.split(".")[0] for name in loaded}.isdisjoint({"botocore", "boto3", "PIL", "rich", "typer"})
    services = {name.removeprefix("ministack.services.") for name in loaded if name.startswith("ministack.services.")}
    assert services >= {"s3", "sqs", "dynamodb", "lambda_svc", "cloudwatch"}
    assert services.isdisjoint({"cognito", "rds", "ec2", "iot", "ssm", "stepfunctions", "apigateway_v1"})
    assert later, "a service must be loaded when something is asked of it"
