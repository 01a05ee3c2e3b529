"""What a cold start does: which modules the handler brings in, and which clients it makes before they are needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import json, sys
from types import SimpleNamespace
import botocore.session

made = []
create = botocore.session.Session.create_client
botocore.session.Session.create_client = lambda self, name, **more: made.append(name) or create(self, name, **more)

from image_pipeline import handler
imported, at_first = sorted(sys.modules), list(made)
record = {"messageId": "1", "receiptHandle": "r", "body": "no event", "attributes": {"ApproximateReceiveCount": "1"}}
context = SimpleNamespace(aws_request_id="req-1", get_remaining_time_in_millis=lambda: 42_000)
handler.handler({"Records": [record | {"eventSource": "aws:sqs"}]}, context)
print(json.dumps({"imported": imported, "at first": at_first, "after a failure": made}))
"""

HEAVY = {
    *("boto3", "s3transfer", "aws_xray_sdk", "requests", "imgpipe", "typer", "rich", "ministack"),
    *("http.server", "asyncio", "multiprocessing", "unittest", "xml.dom", "sqlite3", "pydoc", "numpy"),
    *("aws_lambda_powertools.event_handler", "aws_lambda_powertools.utilities.data_classes"),
    *("aws_lambda_powertools.utilities.batch", "aws_lambda_powertools.utilities.parser"),
    *("PIL.ImageCms", "PIL.ImageDraw", "PIL.ImageFont", "PIL.ImageShow", "PIL.ImageTk"),
    *("PIL.AvifImagePlugin", "PIL.TiffImagePlugin", "PIL.WebPImagePlugin", "PIL.Jpeg2KImagePlugin"),
}
"""Modules that take time and that no first picture needs."""


@pytest.fixture(scope="module")
def cold() -> dict[str, Any]:
    """What one cold start imported and made, in an interpreter of its own."""
    names = ("STACK", "ACCOUNT", "INPUT_BUCKET", "RESIZED_BUCKET", "THUMBNAILS_BUCKET", "TABLE")
    environment = {f"IMGPIPE_{name}": "x" for name in names} | {
        "IMGPIPE_QUEUE_URL": "http://127.0.0.1:9/queue",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "PATH": os.defpath,
    }
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_handler_imports_nothing_that_a_first_picture_does_not_need(cold: dict[str, Any]) -> None:
    assert HEAVY.intersection(cold["imported"]) == set()


def test_a_cold_start_does_not_grow_unnoticed(cold: dict[str, Any]) -> None:
    assert len(cold["imported"]) <= 560


def test_the_queues_client_is_made_for_the_first_message_that_has_to_come_back(cold: dict[str, Any]) -> None:
    assert sorted(cold["at first"]) == ["dynamodb", "s3"]
    assert sorted(cold["after a failure"]) == ["dynamodb", "s3", "sqs"]
