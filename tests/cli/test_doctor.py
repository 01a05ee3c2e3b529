"""`imgpipe doctor`: what it finds where something is missing, and that it changes nothing and never hangs."""

from __future__ import annotations

import dataclasses
import http.server
import importlib.metadata
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.stub import Stubber
from commandline import Finished, clean_environment, in_process

from image_pipeline import resize
from imgpipe import config
from imgpipe.aws import Clients
from imgpipe.doctor import aws, examination, local, machine
from imgpipe.doctor.findings import Check, Finding
from imgpipe.doctor.localstack import needs_token
from imgpipe.targets.base import Connection
from imgpipe.targets.local import LocalTarget

Run = Callable[..., Finished]
Found = dict[str, dict[str, str]]


def found(done: Finished) -> Found:
    """The findings by name, each of which has to have what people and programs need."""
    findings = done.document["findings"]
    assert done.document["ok"] == (done.status == 0) == all(one["state"] != "fail" for one in findings)
    for one in findings:
        assert one.keys() == {"name", "state", "said", "fix"}
        assert one["said"].endswith((".", "?"))
        assert one["fix"] or one["state"] in ("ok", "skip"), one
    names = [one["name"] for one in findings]
    assert len(names) == len(set(names))
    return {one["name"]: one for one in findings}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def held_port() -> Iterator[int]:
    """A port that a stranger listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# The target local.


def test_a_healthy_machine_has_what_local_needs_and_is_left_as_it_was(imgpipe: Run, tmp_path: Path) -> None:
    done = imgpipe("doctor", "--json", env={"IMGPIPE_PORT": str(free_port())})
    findings = found(done)
    assert done.status == 0
    assert done.document["target"] == "local"
    assert {"configuration", "python", "packages", "pillow", "resizer", "state", "disk", "engine", "port"} <= set(
        findings
    )
    assert {findings[name]["state"] for name in ("packages", "pillow", "state", "port")} == {"ok"}
    assert importlib.metadata.version("ministack") in findings["packages"]["said"]
    assert not (tmp_path / "home").exists()


def test_people_get_a_line_for_each_finding_and_the_fix_below_it(imgpipe: Run, held_port: int) -> None:
    done = imgpipe("doctor", env={"IMGPIPE_PORT": str(held_port)})
    lines = done.out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("✗ port "))
    assert done.status == 1
    assert lines[at + 1].startswith("   ")
    assert "unset IMGPIPE_PORT" in lines[at + 1]
    assert any(line.startswith("✓ python ") for line in lines)
    assert lines[-1].startswith("1 of ")


def test_a_busy_port_that_was_asked_for_is_a_failure(imgpipe: Run, held_port: int) -> None:
    done = imgpipe("doctor", "--json", env={"IMGPIPE_PORT": str(held_port)})
    port = found(done)["port"]
    assert done.status == 1
    assert port["state"] == "fail"
    assert str(held_port) in port["said"]
    assert f"lsof -i :{held_port}" in port["fix"]


def test_a_stranger_on_the_usual_port_is_a_warning_for_up_takes_another(
    imgpipe: Run, held_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgpipe.engine.supervisor.DEFAULT_PORT", held_port)
    done = imgpipe("doctor", "--json")
    assert done.status == 0
    assert found(done)["port"]["state"] == "warn"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """An engine of the stage `one` that is up: the folder that is HOME for it, and its port."""
    home, port = tmp_path_factory.mktemp("engine"), free_port()
    target = LocalTarget("one", home / "home", port, "us-east-1")
    try:
        target.start(lambda _: None)
        yield home, port
    finally:
        target.destroy()


def test_an_engine_that_is_up_has_its_port(engine: tuple[Path, int]) -> None:
    home, port = engine
    findings = found(in_process("doctor", "--stage", "one", "--json", env=clean_environment(home), cwd=home))
    assert findings["engine"]["state"] == findings["port"]["state"] == findings["state"]["state"] == "ok"
    assert f"port {port}" in findings["engine"]["said"]


def test_the_stage_that_has_the_port_is_named_with_the_command_that_frees_it(engine: tuple[Path, int]) -> None:
    home, port = engine
    env = clean_environment(home) | {"IMGPIPE_PORT": str(port)}
    finding = found(in_process("doctor", "--stage", "two", "--json", env=env, cwd=home))["port"]
    assert finding["state"] == "fail"
    assert "'one'" in finding["said"]
    assert "imgpipe --stage one down --keep-data" in finding["fix"]
    assert "imgpipe --stage two up" in finding["fix"]


def test_an_engine_in_another_region_is_a_failure(engine: tuple[Path, int]) -> None:
    home, _ = engine
    (home / "home" / "one" / "region").write_text("us-east-1")
    arguments = ("doctor", "--stage", "one", "--region", "eu-west-1", "--json")
    finding = found(in_process(*arguments, env=clean_environment(home), cwd=home))["engine"]
    assert finding["state"] == "fail"
    assert "us-east-1" in finding["said"]


def test_a_file_where_the_state_should_be_is_a_failure(imgpipe: Run, work: Path) -> None:
    (work / "file").write_text("")
    state = found(imgpipe("doctor", "--json", env={"IMGPIPE_HOME": str(work / "file")}))["state"]
    assert state["state"] == "fail"
    assert f"{work / 'file'} is not a folder" in state["said"]
    assert "IMGPIPE_HOME=" in state["fix"]


def test_a_folder_that_cannot_be_written_is_a_failure(
    imgpipe: Run, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Modes stop no test that runs as root, so the system's answer is made up.
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != work)
    state = found(imgpipe("doctor", "--json", env={"IMGPIPE_HOME": str(work / "state")}))["state"]
    assert state["state"] == "fail"
    assert f"{work} cannot be written" in state["said"]


def test_state_that_others_can_read_is_a_warning(imgpipe: Run, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "dev"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    state = found(imgpipe("doctor", "--json"))["state"]
    assert (state["state"], state["fix"]) == ("warn", f"chmod 700 {folder}")


@pytest.mark.parametrize("saved", ["{", None], ids=["not JSON", "images gone"])
def test_state_that_the_engine_would_refuse_is_a_failure(imgpipe: Run, tmp_path: Path, saved: str | None) -> None:
    folder = tmp_path / "home" / "dev"
    (folder / "state").mkdir(parents=True)
    folder.chmod(0o700)
    (folder / "state" / "services.json").write_text(saved or "{}")
    if saved:
        (folder / "s3").mkdir()
    state = found(imgpipe("doctor", "--json"))["state"]
    assert state["state"] == "fail"
    assert "imgpipe down --yes" in state["fix"]


@pytest.mark.parametrize(("free", "state"), [(50e6, "fail"), (500e6, "warn"), (5e9, "ok")])
def test_little_room_is_a_warning_and_no_room_a_failure(
    imgpipe: Run, monkeypatch: pytest.MonkeyPatch, free: float, state: str
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=int(free)))
    assert found(imgpipe("doctor", "--json"))["disk"]["state"] == state


def test_a_codec_that_pillow_lacks_is_a_failure_only_where_it_is_used(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.features.check", lambda name: name != "avif")
    loaded = config.load({}, clean_environment(tmp_path), work)
    with_avif = dataclasses.replace(loaded, parameters={"Formats": "jpeg,avif"})
    assert [finding.state for finding in local.pillow(loaded)] == ["ok"]
    [finding] = local.pillow(with_avif)
    assert finding.state == "fail"
    assert "AVIF" in finding.said


def test_no_python_to_compile_the_function_is_a_warning() -> None:
    (here,) = machine.bytecode(f"python{sys.version_info[0]}.{sys.version_info[1]}")
    assert here.state == "ok"
    (missing,) = machine.bytecode("python3.99")
    assert (missing.state, missing.fix) == ("warn", "uv python install 3.99")
    assert "cold starts take twice as long" in missing.said


def test_the_slow_resizer_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [finding.state for finding in local.resizer()] == ["ok"]
    monkeypatch.setattr(resize, "_resize", resize._pillow_resize)
    [finding] = local.resizer()
    assert finding.state == "warn"
    assert "cykooz-resizer==" in finding.fix


def test_few_file_descriptors_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (128, 128))
    assert [finding.state for finding in local.file_descriptors()] == ["warn"]


def test_another_version_of_a_package_is_a_failure_with_the_line_that_installs_the_right_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "rich":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.4.0" if name == "ministack" else real(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    [finding] = machine.packages()
    assert finding.state == "fail"
    assert "ministack is 1.4.0" in finding.said
    assert "rich is missing" in finding.said
    assert "ministack==" in finding.fix
    assert "rich>=" in finding.fix


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("1.5.33", "==1.5.33", True),
        ("1.5.3", "==1.5.33", False),
        ("1.10.0", ">=1.9", True),
        ("0.29.0", ">=0.26,<0.29", False),
        ("0.28.9", "<0.29,>=0.26", True),
        ("13.0", "==13.0.0", True),
        ("14", "", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, wanted: str, fits: bool) -> None:
    assert machine.satisfies(version, wanted) is fits


def test_every_requirement_of_imgpipe_is_understood() -> None:
    """Another kind of requirement in pyproject would need another kind of comparison."""
    assert [finding.state for finding in machine.packages()] == ["ok"]


# Configuration, and checks that go wrong.


def test_a_broken_file_is_a_finding_and_the_rest_is_examined_without_it(imgpipe: Run, work: Path) -> None:
    (work / "imgpipe.toml").write_text("stage = 'prod'\ncolour = 'red'\n")
    findings = found(imgpipe("doctor", "--json"))
    assert findings["configuration"]["state"] == "fail"
    assert "imgpipe.toml, line 2" in findings["configuration"]["said"]
    assert findings["python"]["state"] == "ok"


def test_a_broken_variable_is_a_finding_too(imgpipe: Run) -> None:
    findings = found(imgpipe("doctor", "--json", env={"IMGPIPE_PORT": "many"}))
    assert findings["configuration"]["state"] == "fail"
    assert "IMGPIPE_PORT" in findings["configuration"]["said"]
    assert "port" in findings


def test_a_file_that_is_right_is_named(imgpipe: Run, work: Path) -> None:
    (work / "imgpipe.toml").write_text("stage = 'prod'\n")
    configuration = found(imgpipe("doctor", "--json"))["configuration"]
    assert configuration["state"] == "ok"
    assert str(work / "imgpipe.toml") in configuration["said"]
    assert "'prod'" in configuration["said"]


def test_a_wrong_option_is_wrong_use(imgpipe: Run) -> None:
    assert imgpipe("doctor", "-t", "gcp").status == 2


def test_a_check_that_raises_is_a_failure_and_keeps_what_it_had_found() -> None:
    def broken() -> Iterator[Finding]:
        yield Finding("first", "ok", "Well.")
        raise OSError(13, "Permission denied", "/there")

    first, second = examination.run(Check("odd", broken))
    assert first.state == "ok"
    assert (second.name, second.state) == ("odd", "fail")
    assert "/there" in second.said
    assert second.fix


def test_a_check_that_hangs_is_left_behind() -> None:
    never = threading.Event()

    def hangs() -> Iterator[Finding]:
        never.wait()
        yield Finding("late", "ok", "Never.")

    [finding] = examination.run(Check("slow", hangs), limit=0.05)
    never.set()
    assert (finding.name, finding.state) == ("slow", "fail")
    assert finding.fix


# The target localstack.

HEALTHY = """
case "$*" in
  "version --format"*) echo 28.0.0 ;;
  "compose version"*) echo 2.40.0 ;;
  "image inspect"*) exit 1 ;;
  *"version --short") echo 2.40.0 ;;
esac
"""
DAEMON_DOWN = "echo 'Cannot connect to the Docker daemon. Is it running?' >&2; exit 1"
DENIED = "echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1"
NO_COMPOSE = """
case "$*" in
  "version --format"*) echo 28.0.0 ;;
  *) exit 1 ;;
esac
"""


@pytest.fixture
def localstack(imgpipe: Run, tmp_path: Path) -> Run:
    """Runs `imgpipe doctor -t localstack` with a `docker` that does what a script says, or with none."""

    def run(script: str | None, endpoint: int | None = None, env: dict[str, str] | None = None) -> Finished:
        programs = tmp_path / "bin"
        programs.mkdir()
        if script is not None:
            (programs / "docker").write_text(f"#!/bin/sh\n{script}\n")
            (programs / "docker").chmod(0o755)
        url = f"http://127.0.0.1:{endpoint or free_port()}"
        arguments = ("doctor", "-t", "localstack", "--endpoint-url", url, "--json")
        return imgpipe(*arguments, env={"PATH": str(programs)} | (env or {}))

    return run


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        document = {"/_localstack/health": {"services": {}}, "/_localstack/info": {"version": "4.14.0"}}[self.path]
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def running() -> Iterator[int]:
    """The port of something that answers as LocalStack does."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_docker_compose_and_a_free_port_are_what_localstack_needs(localstack: Run) -> None:
    done = localstack(HEALTHY)
    findings = found(done)
    assert done.status == 0, done.out
    assert "28.0.0" in findings["docker"]["said"]
    assert "2.40.0" in findings["compose"]["said"]
    assert "pulls it" in findings["image"]["said"]
    assert findings["port"]["state"] == "ok"


@pytest.mark.parametrize(
    ("script", "name", "fix"),
    [
        (None, "docker", "https://docs.docker.com"),
        (DAEMON_DOWN, "docker", "imgpipe -t localstack"),
        (DENIED, "docker", "usermod -aG docker"),
        (NO_COMPOSE, "compose", "https://docs.docker.com/compose"),
    ],
    ids=["no docker", "no daemon", "no permission", "no compose"],
)
def test_what_docker_lacks_is_a_failure_with_its_fix(localstack: Run, script: str | None, name: str, fix: str) -> None:
    done = localstack(script)
    assert done.status == 1
    assert found(done)[name]["state"] == "fail"
    assert fix in found(done)[name]["fix"]


def test_a_localstack_that_answers_makes_docker_optional(localstack: Run, running: int) -> None:
    done = localstack(None, endpoint=running, env={"LOCALSTACK_IMAGE": "localstack/localstack:latest"})
    findings = found(done)
    assert done.status == 0
    assert "LocalStack 4.14.0 answers" in findings["localstack"]["said"]
    assert findings["docker"]["state"] == findings["token"]["state"] == "warn"


def test_a_stranger_on_the_port_of_localstack_is_a_failure(localstack: Run) -> None:
    class Stranger(_Answers):
        def do_GET(self) -> None:
            self.send_error(404)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        finding = found(localstack(HEALTHY, endpoint=server.server_port))["localstack"]
        server.shutdown()
        thread.join()
    assert finding["state"] == "fail"
    assert "is not LocalStack" in finding["said"]


def test_a_newer_image_needs_a_token(localstack: Run) -> None:
    newer = {"LOCALSTACK_IMAGE": "localstack/localstack:2026.3.0"}
    token = found(localstack(HEALTHY, env=newer))["token"]
    assert token["state"] == "fail"
    assert "LOCALSTACK_AUTH_TOKEN=" in token["fix"]


def test_a_token_is_taken_for_what_it_is(localstack: Run) -> None:
    env = {"LOCALSTACK_IMAGE": "localstack/localstack:latest", "LOCALSTACK_AUTH_TOKEN": "ls-secret"}
    done = localstack(HEALTHY, env=env)
    assert found(done)["token"]["state"] == "ok"
    assert "ls-secret" not in done.out + done.err


@pytest.mark.parametrize(
    ("image", "needs"),
    [
        ("localstack/localstack:4.14.0", False),
        ("localstack/localstack:4.14", False),
        ("localstack/localstack:3", False),
        ("docker.io/localstack/localstack:4.15.0", True),
        ("localstack/localstack:2026.3.0", True),
        ("localstack/localstack:latest", True),
        ("localstack/localstack", True),
        ("registry.example:5000/localstack/localstack:4.13.1", False),
        ("localstack/localstack:community-archive", False),
        ("localstack/localstack-pro:4.0.0", True),
        ("example/ours:9", False),
    ],
)
def test_which_image_needs_a_token(image: str, needs: bool) -> None:
    assert needs_token(image) is needs


# The target aws.

ARN = "arn:aws:sts::123456789012:assumed-role/deployer/ada"
ROLE = "arn:aws:iam::123456789012:role/teams/deployer"


def now(**ahead: int) -> dict[str, Any]:
    """What an answer carries besides its content: when AWS gave it."""
    date = format_datetime(datetime.now(UTC) + timedelta(**ahead), usegmt=True)
    return {"HTTPHeaders": {"date": date}}


class Amazon:
    """Answers for each service in the order of the calls, checked against the service's own model."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        # All of them: a call that no test foresaw must not leave for AWS.
        services = ("sts", "lambda", "cloudformation", "s3", "service-quotas", "iam")
        self.stubs = {service: Stubber(clients[service]) for service in services}

    def __getitem__(self, service: str) -> Stubber:
        return self.stubs[service]

    def identity(self, **ahead: int) -> None:
        caller = {"UserId": "AROA:ada", "Account": "123456789012", "Arn": ARN, "ResponseMetadata": now(**ahead)}
        self["sts"].add_response("get_caller_identity", caller)

    def concurrency(self, unreserved: int, limit: int = 1000) -> None:
        limits = {"ConcurrentExecutions": limit, "UnreservedConcurrentExecutions": unreserved}
        self["lambda"].add_response("get_account_settings", {"AccountLimit": limits, "AccountUsage": {}})

    def stacks(self, *names: str, limit: int = 2000) -> None:
        limits = [{"Name": "StackLimit", "Value": limit}]
        self["cloudformation"].add_response("describe_account_limits", {"AccountLimits": limits})
        stacks = [
            {"StackName": name, "StackStatus": "CREATE_COMPLETE", "CreationTime": datetime.now(UTC)} for name in names
        ]
        self["cloudformation"].add_response("list_stacks", {"StackSummaries": stacks})

    def buckets(self, count: int, limit: float = 10000.0) -> None:
        self["s3"].add_response("list_buckets", {"Buckets": [{"Name": f"bucket-{n}"} for n in range(count)]})
        quota = {"ServiceCode": "s3", "QuotaCode": "L-DC2B2D3D", "Value": limit}
        asked = {"ServiceCode": "s3", "QuotaCode": "L-DC2B2D3D"}
        self["service-quotas"].add_response("get_service_quota", {"Quota": quota}, asked)

    def permissions(self, *refused: str) -> None:
        role = {"Path": "/teams/", "RoleName": "deployer", "RoleId": "AROAAAAAAAAAAAAAAAAA", "Arn": ROLE}
        role["CreateDate"] = datetime.now(UTC)  # type: ignore[assignment]
        self["iam"].add_response("get_role", {"Role": role}, {"RoleName": "deployer"})
        results = [{"EvalActionName": "s3:PutObject", "EvalDecision": "allowed"}]
        results += [{"EvalActionName": action, "EvalDecision": "implicitDeny"} for action in refused]
        self["iam"].add_response("simulate_principal_policy", {"EvaluationResults": results})

    def examine(self, work: Path, environ: dict[str, str], account: str | None = None) -> dict[str, Finding]:
        loaded = config.load({"target": "aws", "region": "eu-west-1"}, environ, work)
        loaded = dataclasses.replace(loaded, account=account)
        with ExitStack() as active:
            for stub in self.stubs.values():
                active.enter_context(stub)
            found = {one.name: one for check in aws.checks(loaded, self.clients) for one in examination.run(check)}
        for finding in found.values():
            assert finding.fix or finding.state in ("ok", "skip")
        return found


NO_FILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


@pytest.fixture(scope="module")
def aws_clients() -> Iterator[Clients]:
    """Clients with keys that are none, made once: reading the models of six services takes a while."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in NO_FILES.items():
            patch.setenv(name, value)
        yield Clients(Connection("aws", "eu-west-1", access_key_id="AKIATEST", secret_access_key="test"))


@pytest.fixture
def amazon(aws_clients: Clients) -> Amazon:
    return Amazon(aws_clients)


@pytest.fixture
def examine(amazon: Amazon, work: Path, tmp_path: Path) -> Callable[..., dict[str, Finding]]:
    return lambda **given: amazon.examine(work, clean_environment(tmp_path), **given)


Examine = Callable[..., dict[str, Finding]]


def test_an_account_with_room_has_what_aws_needs(amazon: Amazon, examine: Examine) -> None:
    amazon.identity()
    amazon.concurrency(900)
    amazon.stacks("one", "two")
    amazon.buckets(10)
    amazon.permissions()
    findings = examine(account="123456789012")
    findings.pop("bytecode")  # as this machine's Pythons are
    assert {name: finding.state for name, finding in findings.items()} == dict.fromkeys(
        (
            *("region", "credentials", "clock", "account", "lambda_concurrency", "stacks", "buckets"),
            *("permissions", "installer", "cache"),
        ),
        "ok",
    )
    assert ARN in findings["credentials"].said
    assert ROLE in findings["permissions"].said
    for stub in amazon.stubs.values():
        stub.assert_no_pending_responses()


def test_without_credentials_that_fails_and_what_needs_them_is_skipped(imgpipe: Run) -> None:
    done = imgpipe("doctor", "-t", "aws", "--json", env={**NO_FILES, "AWS_EC2_METADATA_DISABLED": "true"})
    findings = found(done)
    assert done.status == 1
    assert [name for name, one in findings.items() if one["state"] == "fail"] == ["configuration", "credentials"]
    assert findings["configuration"]["said"] == "There are no AWS credentials."
    skipped = [name for name, one in findings.items() if one["state"] == "skip"]
    assert skipped == ["clock", "account", "lambda_concurrency", "stacks", "buckets", "permissions"]


def test_a_profile_that_does_not_exist_is_a_failure_of_the_credentials(imgpipe: Run) -> None:
    credentials = found(imgpipe("doctor", "-t", "aws", "--profile", "prod", "--json", env=NO_FILES))["credentials"]
    assert credentials["state"] == "fail"
    assert "There is no AWS profile prod" in credentials["said"]
    assert credentials["fix"] == "aws configure --profile prod"


def test_the_wrong_account_is_a_failure(amazon: Amazon, examine: Examine) -> None:
    amazon.identity()
    account = examine(account="999999999999")["account"]
    assert account.state == "fail"
    assert "123456789012" in account.said
    assert "999999999999" in account.said


@pytest.mark.parametrize(
    ("seconds", "state", "side"),
    [(5, "ok", ""), (120, "warn", "behind"), (-120, "warn", "ahead"), (900, "fail", "behind")],
)
def test_the_clock_is_compared_with_that_of_aws(
    amazon: Amazon, examine: Examine, seconds: int, state: str, side: str
) -> None:
    amazon.identity(seconds=seconds)
    clock = examine()["clock"]
    assert clock.state == state
    assert side in clock.said


def test_a_refused_signature_is_put_down_to_the_clock_where_that_is_why(amazon: Amazon, examine: Examine) -> None:
    amazon["sts"].add_client_error(
        "get_caller_identity", "SignatureDoesNotMatch", "Signature expired", 403, response_meta=now(hours=2)
    )
    findings = examine()
    assert findings["credentials"].state == findings["clock"].state == "fail"
    assert "clock" in findings["credentials"].said
    assert findings["buckets"].state == "skip"


@pytest.mark.parametrize(("unreserved", "state"), [(10, "ok"), (5, "warn"), (0, "fail")])
def test_concurrency_is_compared_with_what_the_pipeline_takes(
    amazon: Amazon, examine: Examine, unreserved: int, state: str
) -> None:
    amazon.identity()
    amazon.concurrency(unreserved, limit=10)
    finding = examine()["lambda_concurrency"]
    assert finding.state == state
    if state != "ok":
        assert "--region eu-west-1 --service-code lambda --quota-code L-B99A9384" in finding.fix


def test_an_account_full_of_stacks_has_room_for_the_one_that_is_there(amazon: Amazon, examine: Examine) -> None:
    amazon.identity()
    amazon.stacks("one", "two", limit=2)
    assert examine()["stacks"].state == "fail"
    amazon.identity()
    amazon.stacks("one", "imgpipe-dev", limit=2)
    assert examine()["stacks"].state == "ok"


def test_an_account_nearly_full_of_buckets_is_a_warning(amazon: Amazon, examine: Examine) -> None:
    amazon.identity()
    amazon.buckets(97, limit=100.0)
    assert examine()["buckets"].state == "warn"


def test_actions_that_the_policies_refuse_are_named(amazon: Amazon, examine: Examine) -> None:
    amazon.identity()
    amazon.permissions("iam:PassRole")
    finding = examine()["permissions"]
    assert finding.state == "warn"
    assert "iam:PassRole" in finding.said
    assert "s3:PutObject" not in finding.said


def test_what_these_credentials_may_not_look_at_is_skipped(amazon: Amazon, examine: Examine) -> None:
    amazon.identity()
    for service, operation in (
        ("lambda", "get_account_settings"),
        ("cloudformation", "describe_account_limits"),
        ("cloudformation", "list_stacks"),
        ("s3", "list_buckets"),
        ("service-quotas", "get_service_quota"),
        ("iam", "get_role"),
    ):
        amazon[service].add_client_error(operation, "AccessDenied", "not authorized", 403)
    findings = examine()
    assert {findings[name].state for name in ("lambda_concurrency", "stacks", "buckets", "permissions")} == {"skip"}
