"""Flag, environment, file, default: which wins, what each becomes, and where it is said to come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import NoCredentialsError, ProfileNotFound

from imgpipe.config import load
from imgpipe.errors import ExitStatus, ImgpipeError


def write(folder: Path, text: str) -> Path:
    path = folder / "imgpipe.toml"
    path.write_text(text)
    return path


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS profiles of the test's own: one with a region, one with another, one without."""
    folder = tmp_path / ".aws"
    folder.mkdir()
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    (folder / "config").write_text(
        "[default]\nregion = eu-north-1\n[profile prod]\nregion = eu-south-1\n[profile bare]\n"
    )
    return folder


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    environ = {"IMGPIPE_HOME": str(tmp_path / "home")}
    config = load({}, environ, tmp_path)
    assert (config.stage, config.origins["stage"], config.file) == ("dev", "default", None)
    path = write(tmp_path, '\nstage = "file"')
    config = load({}, environ, tmp_path)
    assert (config.stage, config.origins["stage"], config.file) == ("file", f"{path}, line 2", path)
    environ["IMGPIPE_STAGE"] = "env"
    config = load({}, environ, tmp_path)
    assert (config.stage, config.origins["stage"]) == ("env", "IMGPIPE_STAGE")
    config = load({"stage": "flag"}, environ, tmp_path)
    assert (config.stage, config.origins["stage"]) == ("flag", "--stage")


def test_credentials_in_the_environment_do_not_choose_the_target(tmp_path: Path) -> None:
    ambient = {"AWS_PROFILE": "prod", "AWS_ACCESS_KEY_ID": "AKIA", "AWS_REGION": "eu-west-1", "HOME": str(tmp_path)}
    config = load({}, ambient, tmp_path)
    assert (config.target, config.region, config.profile) == ("local", "us-east-1", None)


@pytest.mark.parametrize("target", ["local", "localstack"])
def test_what_belongs_to_aws_reaches_no_emulator(tmp_path: Path, target: str) -> None:
    write(tmp_path, 'profile = "prod"\naccount = "123456789012"')
    ambient = {"AWS_PROFILE": "prod", "AWS_REGION": "eu-west-1", "IMGPIPE_ACCOUNT": "210987654321"}
    config = load({"target": target}, ambient, tmp_path)
    assert (config.region, config.profile, config.account) == ("us-east-1", None, None)


def test_a_stage_s_section_wins_over_the_top_of_the_file_key_by_key(tmp_path: Path) -> None:
    text = """
        region = "eu-central-1"
        renditions = [{ box = 100 }]
        [parameters]
        memory = 2048
        log_days = 7
        [tags]
        team = "media"
        [stages.prod]
        target = "aws"
        region = "eu-west-1"
        account = "123456789012"
        parameters.memory = 3008
        tags.tier = "1"
    """
    path = write(tmp_path, text)
    dev, prod = load({}, {}, tmp_path), load({"stage": "prod"}, {}, tmp_path)
    assert (dev.target, dev.region, dev.tags) == ("local", "eu-central-1", {"team": "media"})
    assert dev.parameters == {
        "MemorySize": "2048",
        "LogRetentionDays": "7",
        "Renditions": '{"renditions":[{"box":100}]}',
    }
    assert (prod.target, prod.region, prod.account) == ("aws", "eu-west-1", "123456789012")
    assert prod.tags == {"team": "media", "tier": "1"}
    assert prod.parameters == {**dev.parameters, "MemorySize": "3008"}
    assert prod.origins["parameters.memory"] == f"{path}, line 13"
    assert prod.origins["parameters.log_days"] == f"{path}, line 6"
    assert prod.given == {"stage": "prod"}


def test_the_stage_that_the_file_names_has_its_section(tmp_path: Path) -> None:
    write(tmp_path, 'stage = "test"\n[stages.test]\nregion = "eu-west-3"')
    assert load({}, {}, tmp_path).region == "eu-west-3"


def test_the_file_s_values_become_the_template_s_parameters(tmp_path: Path) -> None:
    text = """
        [parameters]
        python = "3.12"
        dashboard = true
        architecture = "x86_64"
        alarm_email = ""
        [limits]
        max_side = 10_000
        [alarms]
        backlog_seconds = 60
    """
    write(tmp_path, text)
    assert load({}, {}, tmp_path).parameters == {
        **{"Runtime": "python3.12", "Dashboard": "true", "Architecture": "x86_64", "AlarmEmail": ""},
        **{"MaxSide": "10000", "BacklogSeconds": "60"},
    }


def test_renditions_and_formats_become_the_stack_s_parameters(tmp_path: Path) -> None:
    write(tmp_path, 'renditions = [{ box = 800, format = "webp" }]\nthumbnail = false\nformats = ["jpeg", "tiff"]')
    parameters = load({}, {}, tmp_path).parameters
    assert json.loads(parameters["Renditions"]) == {"renditions": [{"box": 800, "format": "webp"}], "thumbnail": None}
    assert parameters["Formats"] == "jpeg,tiff"


def test_a_rendition_may_have_the_thumbnail_s_size_where_there_is_no_thumbnail(tmp_path: Path) -> None:
    write(tmp_path, "renditions = [{ box = 64 }]\nthumbnail = false")
    assert json.loads(load({}, {}, tmp_path).parameters["Renditions"])["renditions"] == [{"box": 64}]


def test_what_the_file_does_not_say_is_no_parameter(tmp_path: Path) -> None:
    assert load({}, {}, tmp_path).parameters == {}
    write(tmp_path, 'stage = "dev"')
    assert load({}, {}, tmp_path).parameters == {}


@pytest.mark.parametrize("region", ["mars", "eu-west", "EU-WEST-1", "eu-west-1 "])
def test_a_region_that_is_none_is_refused_and_its_origin_named(tmp_path: Path, region: str) -> None:
    with pytest.raises(ImgpipeError, match=r"--region: .* is not the name of an AWS region") as caught:
        load({"region": region}, {}, tmp_path)
    assert caught.value.status is ExitStatus.USAGE
    with pytest.raises(ImgpipeError, match="IMGPIPE_REGION: ") as caught:
        load({"target": "aws"}, {"IMGPIPE_REGION": region}, tmp_path)
    assert (caught.value.code, caught.value.status) == ("unknown_region", ExitStatus.UNREACHABLE)
    path = write(tmp_path, f'target = "aws"\nregion = "{region}"')
    with pytest.raises(ImgpipeError) as caught:
        load({}, {}, tmp_path)
    assert caught.value.message.startswith(f"{path}, line 2: ")


@pytest.mark.usefixtures("profiles")
def test_on_aws_the_region_is_found_where_aws_s_own_tools_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def region(**environ: str) -> tuple[str, str]:
        config = load({"target": "aws"}, environ, tmp_path)
        return config.region, config.origins["region"]

    assert region() == ("eu-north-1", "the profile default")
    assert region(IMGPIPE_PROFILE="prod") == ("eu-south-1", "the profile prod")
    monkeypatch.setenv("AWS_PROFILE", "prod")
    assert region() == ("eu-south-1", "the profile prod")
    assert region(AWS_DEFAULT_REGION="eu-west-2") == ("eu-west-2", "AWS_DEFAULT_REGION")
    assert region(AWS_DEFAULT_REGION="eu-west-2", AWS_REGION="eu-west-3") == ("eu-west-3", "AWS_REGION")
    path = write(tmp_path, 'region = "us-west-1"')
    assert region(AWS_REGION="eu-west-3") == ("us-west-1", f"{path}, line 1")
    assert region(AWS_REGION="eu-west-3", IMGPIPE_REGION="us-west-2") == ("us-west-2", "IMGPIPE_REGION")


def test_on_aws_no_region_at_all_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(ImgpipeError, match=r"^Which region\?") as caught:
        load({"target": "aws"}, {}, tmp_path)
    assert caught.value.status is ExitStatus.USAGE
    assert "--region" in caught.value.hint


@pytest.mark.usefixtures("profiles")
def test_without_credentials_the_region_is_not_the_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(NoCredentialsError):
        load({"target": "aws", "profile": "bare"}, {}, tmp_path)


@pytest.mark.usefixtures("profiles")
def test_a_profile_that_is_missing_matters_only_where_its_region_is_needed(tmp_path: Path) -> None:
    flags = {"target": "aws", "profile": "nobody"}
    assert load({**flags, "region": "eu-west-1"}, {}, tmp_path).profile == "nobody"
    with pytest.raises(ProfileNotFound, match="nobody"):
        load(flags, {}, tmp_path)


def test_a_profile_that_only_aws_s_variable_names_is_left_to_boto3(tmp_path: Path) -> None:
    config = load({"target": "aws", "region": "eu-west-1"}, {"AWS_PROFILE": "prod"}, tmp_path)
    assert (config.profile, config.origins["profile"]) == (None, "AWS_PROFILE")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:4566", "https://localhost:4566", "http://[::1]:1", "http://127.1.2.3", "http://127.0.0.1:4566/"],
)
def test_localstack_is_reached_at_an_address_of_this_machine(tmp_path: Path, url: str) -> None:
    assert load({"target": "localstack", "endpoint_url": url}, {}, tmp_path).endpoint_url == url.rstrip("/")
    assert load({"target": "localstack"}, {"IMGPIPE_ENDPOINT": url}, tmp_path).endpoint_url == url.rstrip("/")
    assert load({}, {"IMGPIPE_ENDPOINT": url}, tmp_path).endpoint_url is None


@pytest.mark.parametrize(
    "url",
    [
        *("http://10.0.0.1:4566", "http://example.org", "http://localhost.example.org:4566", "ftp://127.0.0.1", "4566"),
        *("127.0.0.1:4566", "http://127.0.0.1:http", "http://127.0.0.1:99999", "http://a@127.0.0.1", "http://[::1"),
        *("http://127.0.0.1:4566/path", "http://127.0.0.1:4566?x=1", "http://0.0.0.0:4566", "http://127.0.0.1:0"),
    ],
)
def test_any_other_endpoint_is_refused_and_its_origin_named(tmp_path: Path, url: str) -> None:
    with pytest.raises(ImgpipeError, match=r"^IMGPIPE_ENDPOINT: ") as caught:
        load({"target": "localstack"}, {"IMGPIPE_ENDPOINT": url}, tmp_path)
    assert caught.value.status is ExitStatus.USAGE


@pytest.mark.parametrize(
    ("flags", "owner"),
    [
        ({"endpoint_url": "http://127.0.0.1:1"}, "localstack"),
        ({"endpoint_url": "http://127.0.0.1:1", "target": "aws"}, "localstack"),
        ({"profile": "prod"}, "aws"),
        ({"profile": "prod", "target": "localstack"}, "aws"),
    ],
)
def test_an_option_of_another_target_is_refused(tmp_path: Path, flags: dict[str, str], owner: str) -> None:
    with pytest.raises(ImgpipeError, match=f"belongs to the target {owner}") as caught:
        load(flags, {}, tmp_path)
    assert caught.value.status is ExitStatus.USAGE


def test_an_account_of_the_environment_wins_and_has_twelve_digits(tmp_path: Path) -> None:
    write(tmp_path, 'target = "aws"\nregion = "eu-west-1"\naccount = "123456789012"')
    assert load({}, {}, tmp_path).account == "123456789012"
    assert load({}, {"IMGPIPE_ACCOUNT": "210987654321"}, tmp_path).account == "210987654321"
    with pytest.raises(ImgpipeError, match="IMGPIPE_ACCOUNT is the 12 digits"):
        load({}, {"IMGPIPE_ACCOUNT": "prod"}, tmp_path)


def test_hints_repeat_a_flag_only_where_it_changes_something(tmp_path: Path) -> None:
    write(tmp_path, 'stage = "dev"\n[stages.prod]\ntarget = "localstack"\nregion = "eu-west-1"')
    assert load({"stage": "dev", "target": "local", "region": "us-east-1"}, {}, tmp_path).given == {}
    flags = {"stage": "prod", "target": "localstack", "region": "eu-west-1"}
    assert load(flags, {}, tmp_path).given == {"stage": "prod"}


def test_a_target_that_is_misspelt_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(ImgpipeError, match=r"IMGPIPE_TARGET: .*Did you mean localstack") as caught:
        load({}, {"IMGPIPE_TARGET": "localstak"}, tmp_path)
    assert (caught.value.code, caught.value.status) == ("unknown_target", ExitStatus.USAGE)


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: str) -> None:
    with pytest.raises(ImgpipeError, match="IMGPIPE_PORT"):
        load({}, {"IMGPIPE_PORT": port}, tmp_path)
