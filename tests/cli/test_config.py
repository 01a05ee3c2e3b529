"""Flag, environment, imgpipe.toml, default: which wins, and what is said of a file that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imgpipe.config import find, load
from imgpipe.errors import ImgpipeError


def write(folder: Path, text: str) -> Path:
    path = folder / "imgpipe.toml"
    path.write_text(text)
    return path


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    environ = {"IMGPIPE_HOME": str(tmp_path / "home")}
    assert load({}, environ, tmp_path).stage == "dev"
    write(tmp_path, 'stage = "file"')
    assert load({}, environ, tmp_path).stage == "file"
    environ["IMGPIPE_STAGE"] = "env"
    assert load({}, environ, tmp_path).stage == "env"
    assert load({"stage": "flag"}, environ, tmp_path).stage == "flag"


def test_credentials_in_the_environment_do_not_choose_the_target(tmp_path: Path) -> None:
    ambient = {"AWS_PROFILE": "prod", "AWS_ACCESS_KEY_ID": "AKIA", "AWS_REGION": "eu-west-1", "HOME": str(tmp_path)}
    config = load({}, ambient, tmp_path)
    assert (config.target, config.region, config.profile) == ("local", "us-east-1", None)


def test_the_file_is_looked_for_up_to_the_repository_s_root_or_the_home_folder(tmp_path: Path) -> None:
    outer = write(tmp_path, "")
    below = tmp_path / "repository" / "photos"
    below.mkdir(parents=True)
    assert find(below, None) == outer
    (tmp_path / "repository" / ".git").mkdir()
    assert find(below, None) is None
    assert find(tmp_path / "repository", tmp_path / "repository") is None


def test_renditions_and_formats_become_the_stack_s_parameters(tmp_path: Path) -> None:
    write(tmp_path, 'renditions = [{ box = 800, format = "webp" }]\nthumbnail = false\nformats = ["jpeg", "tiff"]')
    parameters = load({}, {}, tmp_path).parameters
    assert json.loads(parameters["Renditions"]) == {"renditions": [{"box": 800, "format": "webp"}], "thumbnail": None}
    assert parameters["Formats"] == "jpeg,tiff"


def test_a_rendition_may_have_the_thumbnail_s_size_where_there_is_no_thumbnail(tmp_path: Path) -> None:
    write(tmp_path, "renditions = [{ box = 64 }]\nthumbnail = false")
    assert json.loads(load({}, {}, tmp_path).parameters["Renditions"])["renditions"] == [{"box": 64}]


def test_without_a_recipe_the_template_s_defaults_hold(tmp_path: Path) -> None:
    assert load({}, {}, tmp_path).parameters == {"Renditions": "", "Formats": ""}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stage = \n", "line 1"),
        ('\n\ncolour = "red"', "line 3: there is no key 'colour'"),
        ("# one\nstage = 7", "line 2: stage cannot be 7"),
        ('target = "gcp"', "'gcp'"),
        ('x = 1\nstage = "a"', "line 1: there is no key 'x'"),
        ('stage = "dev"\n[[renditions]]\nbox = 0', "line 2: renditions[0].box"),
        ("renditions = 5", "line 1: renditions cannot be 5"),
        ("thumbnail = true", "line 1: thumbnail cannot be True"),
        ('formats = ["jpeg", "psd"]', "line 1: 'psd' is not an input format"),
        ("renditions = [{ box = 64 }]", "line 1: two pictures are called '64'"),
        ("renditions = [{ box = 9 }]\nthumbnail = { box = 0 }", "line 2: thumbnail.box"),
        ("\xff", "is not TOML"),
    ],
)
def test_a_broken_file_says_where_and_what_it_may_hold(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "imgpipe.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ImgpipeError) as caught:
        load({}, {}, tmp_path)
    assert caught.value.status == 2
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("region", ["mars", "eu-west", "EU-WEST-1", "eu-west-1 "])
def test_a_region_that_is_none_is_refused(tmp_path: Path, region: str) -> None:
    with pytest.raises(ImgpipeError, match="is not the name of an AWS region") as caught:
        load({"region": region}, {}, tmp_path)
    assert caught.value.status == 2


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: str) -> None:
    with pytest.raises(ImgpipeError, match="IMGPIPE_PORT"):
        load({}, {"IMGPIPE_PORT": port}, tmp_path)
