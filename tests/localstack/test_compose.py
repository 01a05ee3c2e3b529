"""Starting LocalStack in Docker says what is missing and the line that mends it, whatever is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import Finished
from standins import FakeDocker

from imgpipe.errors import ImgpipeError
from imgpipe.targets import compose

Run = Callable[..., Finished]

UP = "'compose '*' up '*"


def container(*, running: bool, status: int = 0, port: int = 4566) -> str:
    """`docker container inspect`, as far as it is read."""
    state = {"Running": running, "ExitCode": status}
    bindings = {"4566/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
    return json.dumps([{"Name": "/imgpipe-localstack", "State": state, "HostConfig": {"PortBindings": bindings}}])


@pytest.fixture
def up(imgpipe: Run, docker: FakeDocker, unused_port: int) -> Callable[..., dict[str, str]]:
    """Runs `imgpipe up` with that Docker; the error document."""

    def run(status: int, **env: str) -> dict[str, str]:
        endpoint = f"http://127.0.0.1:{unused_port}"
        done = imgpipe("--endpoint-url", endpoint, "--json", "up", env={"PATH": str(docker.folder), **env})
        assert done.status == status, done
        error: dict[str, str] = done.document["error"]
        assert "--endpoint-url" in error["hint"] or status == 5 or error["code"] in ("name_taken", "localstack_failed")
        return error

    return run


def test_without_docker_it_says_so_and_names_the_way_around(up: Callable[..., dict[str, str]]) -> None:
    error = up(4)
    assert error["code"] == "docker_missing"
    assert "docs.docker.com" in error["hint"]


def test_a_daemon_that_does_not_run(up: Callable[..., dict[str, str]], docker: FakeDocker) -> None:
    said = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
    docker.says("version*", err=said, status=1)
    error = up(4)
    assert error["code"] == "docker_down"
    assert "Is the docker daemon running" in error["message"]


def test_a_socket_that_is_not_for_this_user(up: Callable[..., dict[str, str]], docker: FakeDocker) -> None:
    said = (
        "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get "
        '"http://%2Fvar%2Frun%2Fdocker.sock/v1.50/version": dial unix /var/run/docker.sock: connect: permission denied'
    )
    docker.says("version*", err=said, status=1)
    error = up(4)
    assert error["code"] == "docker_denied"
    assert "usermod -aG docker" in error["hint"]


@pytest.mark.parametrize("standalone", [None, "1.29.2"])
def test_no_compose_or_one_that_is_too_old(
    up: Callable[..., dict[str, str]], docker: FakeDocker, standalone: str | None
) -> None:
    docker.says("'compose '*", err="docker: unknown command: docker compose", status=1)
    if standalone:
        docker.says("*", out=standalone, program="docker-compose")
    assert up(4)["code"] == "compose_missing"


@pytest.mark.parametrize("version", ["2.26.1-4", "v2.40.3", "5.0.1"])
def test_the_program_of_compose_serves_as_well_as_the_plugin(docker: FakeDocker, version: str) -> None:
    docker.says("'compose '*", err="docker: unknown command: docker compose", status=1)
    docker.says("'version '*", out=version, program="docker-compose")
    compose.start(46210, lambda _: None)
    assert docker.calls[-1].startswith("docker-compose --project-name imgpipe ")


@pytest.mark.parametrize(
    "said",
    [
        "Error response from daemon: driver failed programming external connectivity on endpoint imgpipe-localstack: "
        "Bind for 127.0.0.1:4566 failed: port is already allocated",
        "Error response from daemon: failed to set up container networking: failed to bind host port for "
        "127.0.0.1:4566: address already in use",
        "Error response from daemon: Ports are not available: exposing port TCP 127.0.0.1:4566",
    ],
)
def test_a_port_that_is_taken(up: Callable[..., dict[str, str]], docker: FakeDocker, said: str) -> None:
    docker.says(UP, err=f" Container imgpipe-localstack  Starting\n{said}", status=1)
    error = up(4)
    assert error["code"] == "port_busy"
    assert "lsof" in error["hint"]


@pytest.mark.parametrize(
    "said",
    [
        'Error response from daemon: Get "https://registry.example/v2/": dial tcp: lookup: no such host',
        "Error response from daemon: manifest for localstack/localstack:4.99.0 not found: manifest unknown",
        "Error response from daemon: pull access denied for nobody/nothing, repository does not exist or may require "
        "'docker login'",
        "Error response from daemon: toomanyrequests: You have reached your pull rate limit.",
        'Error response from daemon: failed to resolve reference "docker.io/a:b": failed to do request',
    ],
)
def test_an_image_that_cannot_be_pulled(up: Callable[..., dict[str, str]], docker: FakeDocker, said: str) -> None:
    docker.says(UP, err=f" localstack Pulling\n localstack Error\n{said}", status=18)
    error = up(4, LOCALSTACK_IMAGE="localstack/localstack:4.99.0")
    assert error["code"] == "image_missing"
    assert said in error["message"] + "."[: not said.endswith(".")]
    assert "docker pull localstack/localstack:4.99.0" in error["hint"]


@pytest.mark.parametrize(("token", "words"), [("", "needs an account's"), ("ls-wrong", "does not accept")])
@pytest.mark.parametrize("status", [55, 1])
def test_an_image_that_needs_a_token(
    up: Callable[..., dict[str, str]], docker: FakeDocker, token: str, words: str, status: int
) -> None:
    docker.says(UP, err="container imgpipe-localstack exited (55)", status=1)
    docker.says("'ps '*label*", out="0123456789ab")
    docker.says("'container inspect'*", out=container(running=False, status=status))
    docker.says("'logs '*", err="===\nLicense activation failed! \U0001f511\u274c\nReason: No credentials were found")
    error = up(5, LOCALSTACK_AUTH_TOKEN=token, LOCALSTACK_IMAGE="localstack/localstack:latest")
    assert error["code"] == "token_required"
    assert words in error["message"]
    assert "localstack/localstack:latest" in error["message"]
    assert "ls-wrong" not in json.dumps(error)


def test_a_container_that_ends_says_its_last_words(up: Callable[..., dict[str, str]], docker: FakeDocker) -> None:
    docker.says(UP, err="container imgpipe-localstack exited (1)", status=1)
    docker.says("'ps '*label*", out="0123456789ab")
    docker.says("'container inspect'*", out=container(running=False, status=1))
    docker.says("'logs '*", out="starting", err="OSError: No space left on device")
    error = up(4)
    assert error["code"] == "localstack_failed"
    assert "status 1: OSError: No space left on device" in error["message"]


def test_a_container_that_never_gets_healthy(docker: FakeDocker) -> None:
    docker.says(UP, err="container imgpipe-localstack is unhealthy", status=1)
    docker.says("'ps '*label*", out="0123456789ab")
    docker.says("'container inspect'*", out=container(running=True, port=46210))
    docker.says("'logs '*", out="waiting for DynamoDB")
    with pytest.raises(ImgpipeError, match="not healthy: waiting for DynamoDB"):
        compose.start(46210, lambda _: None)
    assert not any(" down" in call for call in docker.calls), "one that ran before may hold something"


def test_a_name_that_another_container_has(up: Callable[..., dict[str, str]], docker: FakeDocker) -> None:
    said = (
        'Error response from daemon: Conflict. The container name "/imgpipe-localstack" is already in use by container '
        '"8df34f4ebd09". You have to remove (or rename) that container to be able to reuse that name.'
    )
    docker.says(UP, err=said, status=1)
    error = up(4)
    assert error["code"] == "name_taken"
    assert "LOCALSTACK_DOCKER_NAME" in error["hint"]


def test_one_that_runs_on_another_port_is_not_moved(up: Callable[..., dict[str, str]], docker: FakeDocker) -> None:
    docker.says("'ps '*label*", out="0123456789ab")
    docker.says("'container inspect'*", out=container(running=True, port=4599))
    error = up(4)
    assert error["code"] == "other_port"
    assert "http://127.0.0.1:4599" in error["hint"]
    assert not any(" up " in call for call in docker.calls)


def test_it_is_started_from_imgpipes_own_file_on_the_port_of_the_endpoint(
    docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "docker-compose.yml").write_text("services: {theirs: {image: theirs}}")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COMPOSE_FILE", str(folder / "docker-compose.yml"))
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "theirs")
    docker.says("*")
    compose.start(46210, lambda _: None)
    file = compose.compose_file()
    assert docker.calls[-1] == (
        f"docker compose --project-name imgpipe --file {file} --env-file /dev/null up --detach --wait port=46210"
    )


def test_the_progress_of_a_pull_is_told(docker: FakeDocker) -> None:
    layers = ["4f4fb700ef54 Pulling fs layer", "a3ed95caeb02 Pulling fs layer", "4f4fb700ef54 Pull complete"]
    docker.says(UP, err="\n".join([" localstack Pulling", *(f" {one} " for one in layers)]))
    said: list[str] = []
    compose.start(46210, said.append)
    assert said[0] == "Starting LocalStack"
    assert said[-1].endswith("1 of 2 layers")


def test_what_half_started_is_removed_again(docker: FakeDocker) -> None:
    docker.says(UP, err="port is already allocated", status=1)
    with pytest.raises(ImgpipeError):
        compose.start(46210, lambda _: None)
    assert any(" down --volumes " in call for call in docker.calls)


def test_stopping_removes_the_containers_of_functions_before_the_network(docker: FakeDocker) -> None:
    docker.says("'ps '*label*", out="0123456789ab")
    docker.says("'ps '*network=imgpipe_default*", out="aaaaaaaaaaaa\nbbbbbbbbbbbb")
    docker.says("'container inspect'*", out=container(running=True))
    docker.says("*")
    assert compose.stop() is True
    ends = [call for call in docker.calls if any(f" {verb} " in call for verb in ("stop", "rm", "down"))]
    assert [call.rpartition(" port")[0].rpartition("/dev/null ")[2] for call in ends] == [
        "stop",
        "docker rm --force --volumes aaaaaaaaaaaa bbbbbbbbbbbb",
        "down --volumes",
    ]


def test_nothing_is_stopped_that_imgpipe_did_not_start(docker: FakeDocker) -> None:
    docker.says("*")
    assert compose.stop() is False
    assert not any(" down " in call or " rm " in call for call in docker.calls)


@pytest.mark.usefixtures("docker")
def test_without_docker_there_is_nothing_to_stop() -> None:
    assert compose.stop() is False


def test_down_stop_removes_containers_that_hang(imgpipe: Run, docker: FakeDocker, unused_port: int) -> None:
    docker.says("'ps '*label*", out="0123456789ab")
    docker.says("'container inspect'*", out=container(running=True))
    docker.says("*")
    endpoint = f"http://127.0.0.1:{unused_port}"
    done = imgpipe("--endpoint-url", endpoint, "down", "--stop", env={"PATH": str(docker.folder)})
    assert (done.status, done.out) == (0, "The containers of LocalStack are removed.\n")


@pytest.mark.parametrize(
    ("target", "flag", "said"),
    [
        ("localstack", "--keep-data", "LocalStack keeps nothing when it stops."),
        ("aws", "--keep-data", "There is no engine to stop on aws."),
        ("aws", "--stop", "There is nothing to stop on aws."),
    ],
)
def test_a_flag_that_does_not_fit_the_target_is_refused(imgpipe: Run, target: str, flag: str, said: str) -> None:
    done = imgpipe("-t", target, "--region", "eu-west-1", "down", flag)
    assert done.status == 2
    assert said in done.err
