"""The bundle for Lambda: complete, small, the same to the byte, and able to run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import os
import re
import subprocess
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
from bundles import PYTHON, built, cached_below, contents, python_like_lambdas, silent
from PIL import Image

from imgpipe.aws import Clients
from imgpipe.errors import ImgpipeError
from imgpipe.stack.bundle import ARCHITECTURES, PYTHONS, lambda_bundle, source_bundle
from imgpipe.stack.template import template_body

both = pytest.mark.parametrize("architecture", ARCHITECTURES)


@both
def test_two_builds_are_identical_to_the_byte(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = built(architecture)
    cached_below(tmp_path)
    monkeypatch.setenv("IMGPIPE_HOME", str(tmp_path))
    second = lambda_bundle(architecture, PYTHON, silent)
    assert second.data == first.data
    assert second.sha256 == first.sha256 == hashlib.sha256(second.data).hexdigest()


@both
def test_no_byte_depends_on_this_machines_zlib(architecture: str, tmp_path: Path) -> None:
    streams = {}
    for wheel in (cached_below(tmp_path) / f"{architecture}-python{PYTHON}").glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            streams |= {info.filename: (info.compress_type, info.compress_size) for info in archive.infolist()}
    with zipfile.ZipFile(io.BytesIO(built(architecture).data)) as archive:
        for info in archive.infolist():
            # What was cut down, or is ours, is stored as it is; bytecode is no part of what the bundle is named after.
            if info.compress_type == zipfile.ZIP_STORED:
                assert info.compress_size == info.file_size
            elif not info.filename.endswith(".pyc"):
                assert (info.compress_type, info.compress_size) == streams[info.filename]


@both
def test_it_holds_the_function_and_its_libraries_and_nothing_that_lambda_has_or_nobody_reads(
    architecture: str,
) -> None:
    held = contents(built(architecture).data)
    source = {path: data for path, data in contents(source_bundle().data).items() if path.endswith(".py")}
    assert source.items() <= held.items()
    tops = {name.split("/")[0] for name in held} - {"__pycache__"}
    libraries = {"PIL", "pillow.libs", "aws_lambda_powertools", "typing_extensions.py"}
    libraries |= {"isal", "pyspng", "botocore", "urllib3", "jmespath", "dateutil", "six.py"}
    libraries |= {"cykooz_resizer"} if architecture == "x86_64" else set()
    assert tops == {"image_pipeline", *libraries}
    unread = r"\.pyi$|py\.typed$|dist-info|(^|/)tests?/|PIL/(Pdf|Psd|Eps)Image|_imagingft|libfreetype|event_handler"
    for name in held:
        assert not re.search(unread, name), name


def test_it_is_small() -> None:
    assert len(built("x86_64").data) < 12e6
    assert len(built("arm64").data) < 10e6


@both
def test_it_can_write_every_format_that_a_recipe_may_ask_for(architecture: str) -> None:
    held = contents(built(architecture).data)
    for extension in ("_imaging", "_webp", "_avif", "_imagingcms"):
        assert any(name.startswith(f"PIL/{extension}.") and name.endswith(".so") for name in held), extension


@both
def test_its_libraries_have_the_versions_that_run_here(architecture: str) -> None:
    made = built(architecture)
    for library in made.libraries:
        assert library.version == importlib.metadata.version(library.name)
        assert f"-{library.version}-" in library.wheel
    assert made.unzipped == sum(map(len, contents(made.data).values()))
    assert made.without == (("cykooz-resizer",) if architecture == "arm64" else ())


def test_it_can_be_built_for_whatever_the_template_takes() -> None:
    template = template_body()
    assert f"AllowedValues: [{', '.join(ARCHITECTURES)}]" in template
    assert f"AllowedValues: [{', '.join(f'python{one}' for one in PYTHONS)}]" in template


@pytest.mark.parametrize(("architecture", "python"), [("mips", PYTHON), ("arm64", "3.11"), ("arm64", "latest")])
def test_a_platform_that_lambda_has_not_is_a_usage_error(architecture: str, python: str) -> None:
    with pytest.raises(ImgpipeError) as failure:
        lambda_bundle(architecture, python, silent)
    assert failure.value.code == "usage"


PROGRAM = """
import sys
sys.path[:0] = sys.argv[1:]
import image_pipeline.handler
from image_pipeline.renditions import render
from image_pipeline.settings import recipe_from_environment
from PIL import Image
from io import BytesIO
picture = BytesIO()
Image.linear_gradient("L").convert("RGB").resize((1600, 1200)).save(picture, "JPEG")
wanted = '{"renditions": [{"box": 512, "format": "avif"}, {"box": 256, "format": "webp"}, {"box": 128}]}'
made = render(picture.getvalue(), recipe_from_environment({"IMGPIPE_RENDITIONS": wanted}))
print([(one.name, one.format) for one in made.renditions], "cykooz_resizer.rust_lib" in sys.modules)
"""


def test_a_python_like_lambdas_imports_it_and_makes_every_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (folder := python_like_lambdas()) is None:
        pytest.skip(f"there is no Python {PYTHON} on an x86_64 Linux here")
    monkeypatch.setenv("PATH", folder + os.pathsep + os.environ["PATH"])
    monkeypatch.delenv("IMGPIPE_HOME", raising=False)
    made = lambda_bundle("x86_64", PYTHON, silent)
    assert made.imported_by is not None
    assert made.imported_by.startswith(f"{PYTHON}.")

    zipfile.ZipFile(io.BytesIO(made.data)).extractall(tmp_path)
    names = ("STACK", "ACCOUNT", "INPUT_BUCKET", "RESIZED_BUCKET", "THUMBNAILS_BUCKET", "TABLE")
    done = subprocess.run(
        [f"{folder}/python{PYTHON}", "-I", "-S", "-B", "-c", PROGRAM, str(tmp_path)],
        env={f"IMGPIPE_{name}": "x" for name in names} | {"AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[('512-avif', 'avif'), ('256-webp', 'webp'), ('128', 'jpeg')] True"


UPLOADED = """
import json, sys
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
from image_pipeline.handler import handler
handler(json.loads(sys.argv[2]), SimpleNamespace(aws_request_id="req-1", get_remaining_time_in_millis=lambda: 42_000))
import botocore
print(botocore.__file__.startswith(sys.argv[1]))
"""


def test_the_bundle_alone_turns_an_upload_into_a_row_and_a_deletion_into_none(clients: Clients, tmp_path: Path) -> None:
    """Every call of the function but one, with the cut-down botocore: the queue's is in test_bundle_services.py."""
    if (folder := python_like_lambdas()) is None:
        pytest.skip(f"there is no Python {PYTHON} on an x86_64 Linux here")
    zipfile.ZipFile(io.BytesIO(built("x86_64").data)).extractall(tmp_path)
    name = f"alone-{uuid.uuid4().hex[:8]}"
    for bucket in ("input", "resized", "thumbnails"):
        clients["s3"].create_bucket(Bucket=f"{name}-{bucket}")
    clients["dynamodb"].create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "image_key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "image_key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    environment = {f"IMGPIPE_{one.upper()}_BUCKET": f"{name}-{one}" for one in ("input", "resized", "thumbnails")} | {
        "IMGPIPE_STACK": name,
        "IMGPIPE_ACCOUNT": "000000000000",
        "IMGPIPE_TABLE": name,
        "AWS_ENDPOINT_URL": str(clients.connection.endpoint_url),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    s3 = {"bucket": {"name": f"{name}-input"}, "object": {"key": "photo.png"}}
    event = json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": s3}]})

    def handled() -> dict[str, Any]:
        done = subprocess.run(
            [f"{folder}/python{PYTHON}", "-I", "-S", "-B", "-c", UPLOADED, str(tmp_path), event],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "True"
        row = clients["dynamodb"].get_item(TableName=name, Key={"image_key": {"S": "photo.png"}}, ConsistentRead=True)
        found: dict[str, Any] = row.get("Item", {})
        return found

    picture = io.BytesIO()
    Image.new("RGB", (1100, 30), (200, 30, 60)).save(picture, "PNG")
    clients["s3"].put_object(Bucket=f"{name}-input", Key="photo.png", Body=picture.getvalue())
    row = handled()
    assert (row["status"], row["width"]) == ({"S": "READY"}, {"N": "1100"})
    assert clients["s3"].list_objects_v2(Bucket=f"{name}-resized")["KeyCount"] == 3
    clients["s3"].delete_object(Bucket=f"{name}-input", Key="photo.png")
    assert handled() == {}
    assert clients["s3"].list_objects_v2(Bucket=f"{name}-resized")["KeyCount"] == 0
