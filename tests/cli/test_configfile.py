"""A file is found, read, and every mistake in it named with its line, its key and what that may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgpipe.config import load
from imgpipe.configfile import find
from imgpipe.configreader import read
from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.stack.parameters import PARAMETERS, Matching, OneOf, Parameter, Switch, Whole
from imgpipe.starter import toml

PROD = 'target = "aws"\nregion = "eu-west-1"\n'


def write(folder: Path, text: str, name: str = "imgpipe.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def complaint(folder: Path, text: str, name: str = "imgpipe.toml") -> ImgpipeError:
    path = write(folder, text, name)
    with pytest.raises(ImgpipeError) as caught:
        read(path)
    assert (caught.value.code, caught.value.status) == ("config", ExitStatus.USAGE)
    assert caught.value.message.startswith(f"{path}, ")
    assert caught.value.hint
    return caught.value


def test_the_file_is_looked_for_up_to_the_repository_s_root_or_the_home_folder(tmp_path: Path) -> None:
    outer = write(tmp_path, "")
    below = tmp_path / "repository" / "photos"
    below.mkdir(parents=True)
    assert find(below, None) == outer
    (tmp_path / "repository" / ".git").mkdir()
    assert find(below, None) is None
    assert find(tmp_path / "repository", tmp_path / "repository") is None


def test_a_project_s_file_counts_when_it_has_a_table_for_imgpipe(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    outer = write(tmp_path, '[tool.imgpipe]\nstage = "outer"', "pyproject.toml")
    write(inner, '[project]\nname = "imgpipe"', "pyproject.toml")
    assert find(inner, None) == outer
    assert load({}, {}, inner).stage == "outer"
    nearest = write(inner, "", "imgpipe.toml")
    write(inner, "[tool.imgpipe]", "pyproject.toml")
    assert find(inner, None) == nearest
    nearest.unlink()
    assert find(inner, None) == inner / "pyproject.toml"


def test_a_broken_project_file_that_never_names_imgpipe_is_none_of_its_business(tmp_path: Path) -> None:
    write(tmp_path, "[project\n", "pyproject.toml")
    assert find(tmp_path, tmp_path) is None
    write(tmp_path, "[tool.imgpipe\n", "pyproject.toml")
    with pytest.raises(ImgpipeError, match=r"line 1.*this is not TOML"):
        find(tmp_path, tmp_path)


def test_lines_of_a_project_file_are_its_own(tmp_path: Path) -> None:
    text = '[project]\ndependencies = [\n  "y[z]>=1",\n]\n\n[tool.imgpipe.parameters]\nlog_days = 30\nmemory = 1\n'
    assert ", line 8: memory cannot be 1." in complaint(tmp_path, text, "pyproject.toml").message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stage = \n", "line 1, column 9: this is not TOML: Invalid value."),
        ('\n\ncolour = "red"', "line 3: there is no key 'colour'."),
        ('regoin = "eu-west-1"', "line 1: there is no key 'regoin': did you mean region?"),
        ("\nmemory = 3008", "line 2: there is no key 'memory': it belongs to [parameters]."),
        ("# one\nstage = 7", "line 2: stage cannot be 7."),
        ('stage = "Prod!"', "line 1: 'Prod!' is not a stage name"),
        ('target = "gcp"', "line 1: target cannot be 'gcp'."),
        ('target = ["aws"]', "line 1: target cannot be ['aws']."),
        ("region = 5", "line 1: region cannot be 5."),
        ("account = 123456789012", "line 1: account cannot be 123456789012."),
        ('profile = ""', "line 1: profile cannot be ''."),
        ('stage = "dev"\n[[renditions]]\nbox = 9\n[[renditions]]\nfit = "cover"\nbox = 0', "line 6: renditions[1].box"),
        ("stage = 'dev'\n[[renditions]]\nfit = 'cover'", "line 2: renditions[0].box"),
        ("renditions = [\n  { box = 0 },\n]", "line 1: renditions[0].box"),
        ("renditions = 5", "line 1: renditions cannot be 5."),
        ("renditions = []", "line 1: renditions is a list with at least one entry"),
        ("thumbnail = true", "line 1: thumbnail cannot be True."),
        ("thumbnail = {}", "line 1: thumbnail.box is a whole number"),
        ('formats = ["jpeg", "psd"]', "line 1: 'psd' is not an input format"),
        ("formats = []", "line 1: formats is empty"),
        ("renditions = [{ box = 64 }]", "line 1: two pictures are called '64'"),
        ("renditions = [{ box = 9 }]\nthumbnail = { box = 0 }", "line 2: thumbnail.box"),
        ("parameters = 5", "line 1: parameters cannot be 5."),
        ("\n[parameters]\n\nmemory = 1000", "line 4: memory cannot be 1000."),
        ("[parameters]\nmemory = '2048'", "line 2: memory cannot be '2048'."),
        ("[parameters]\nmemory = true", "line 2: memory cannot be True."),
        ("[parameters]\nlog_days = 30.0", "line 2: log_days cannot be 30.0."),
        ("[parameters]\nlog_days = true", "line 2: log_days cannot be True."),
        ("[parameters]\nlog_days = 31", "line 2: log_days cannot be 31."),
        ("[parameters]\npython = 3.13", "line 2: python cannot be 3.13."),
        ("[parameters]\ndashboard = 'true'", "line 2: dashboard cannot be 'true'."),
        ("[parameters]\nalarm_email = 'ops'", "line 2: alarm_email cannot be 'ops'."),
        ("[parameters]\nkms_key = 'alias/x'", "line 2: kms_key cannot be 'alias/x'."),
        ("[parameters]\nmemroy = 1769", "line 2: there is no key 'memroy' in [parameters]: did you mean memory?"),
        ("[limits]\nmemory = 1769", "line 2: there is no key 'memory' in [limits]: it belongs to [parameters]."),
        ("[alarms]\nfailed_images = 0", "line 2: failed_images cannot be 0."),
        ("[tags]\nteam = 1", "line 2: team cannot be 1."),
        ("[tags]\n'aws:x' = 'y'", "line 2: 'aws:x' cannot be the name of a tag."),
        ("[tags]\n'ImgPipe:stage' = 'y'", "line 2: 'ImgPipe:stage' cannot be the name of a tag."),
        ("[tags]\n" + "".join(f"t{n} = ''\n" for n in range(50)), "line 1: these are 50 tags."),
        ("stages = 1", "line 1: stages cannot be 1."),
        ("[stages]\nprod = 1", "line 2: prod cannot be 1."),
        ("[stages.Prod]", "line 1: 'Prod' is not a stage name"),
        (
            "[stages.prod]\nstage = 'dev'",
            "line 2: there is no key 'stage' in [stages.prod]: the name of the section is",
        ),
        ("[stages.prod]\nstages.x = {}", "line 2: there is no key 'stages' in [stages.prod]"),
        (
            "[stages.prod]\nmemory = 2048",
            "line 2: there is no key 'memory' in [stages.prod]: it belongs to [stages.prod.p",
        ),
        (f"[stages.prod]\n{PROD}[stages.prod.parameters]\n\nmemory = 1", "line 6: memory cannot be 1."),
        ("[stages.prod]\nparameters = { memory = 1 }", "line 2: memory cannot be 1."),
        ("[stages.prod]\nparameters.memory = 1", "line 2: memory cannot be 1."),
        ("stages.prod.parameters.memory = 1", "line 1: memory cannot be 1."),
        ("renditions = [{ box = 9 }]\n[stages.prod]\nthumbnail = { box = 9 }", "two pictures are called '9'"),
        ('x = """\n[parameters]\nmemory = 1\n"""\n', "line 1: there is no key 'x'"),
        ("[parameters]\nkms_key = '''\nmemory = 1\n'''\n", "line 2: kms_key cannot be"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_its_key(tmp_path: Path, text: str, said: str) -> None:
    assert said in complaint(tmp_path, text).message


def test_the_hint_says_what_the_key_may_hold(tmp_path: Path) -> None:
    assert complaint(tmp_path, "[parameters]\nmemory = 1").hint == "memory is a whole number from 1,024 to 10,240"
    assert complaint(tmp_path, 'target = "x"').hint == 'target is one of "local", "localstack", "aws"'
    assert "the keys are target, stage" in complaint(tmp_path, "x = 1").hint


def test_renditions_have_to_fit_into_the_function_s_environment(tmp_path: Path) -> None:
    many = ", ".join(f'{{ box = {n}, name = "a-rather-long-name-{n}" }}' for n in range(1, 80))
    assert "the renditions take" in complaint(tmp_path, f"renditions = [{many}]").message


def test_what_is_no_text_or_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "imgpipe.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(ImgpipeError, match="is not TOML"):
        read(path)
    path.unlink()
    with pytest.raises(ImgpipeError, match="cannot be read: No such file"):
        read(path)


# ---------------------------------------------------------------- laws


def holding(one: Parameter) -> st.SearchStrategy[Any]:
    """Every value that a parameter may have."""
    kind = one.kind
    if isinstance(kind, Whole):
        return st.integers(kind.at_least, kind.at_most)
    if isinstance(kind, OneOf):
        return st.sampled_from(kind.options)
    if isinstance(kind, Switch):
        return st.booleans()
    assert isinstance(kind, Matching)
    examples = {
        "alarm_email": ["ops@example.org", "a+b@c.d.e"],
        "permissions_boundary": ["arn:aws:iam::123456789012:policy/team/limit", "arn:aws-cn:iam::aws:policy/X"],
        "kms_key": ["arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
    }
    return st.sampled_from(["", *examples[one.key]])


SECTION = st.fixed_dictionaries({}, optional={one: holding(one) for one in PARAMETERS})


def lines(values: dict[Parameter, Any], section: str) -> list[str]:
    tables = sorted({one.table for one in values})
    return [
        line
        for table in tables
        for line in (
            "",
            f"[{section}{table}]",
            *(f"{one.key} = {toml(value)}" for one, value in values.items() if one.table == table),
        )
    ]


@settings(max_examples=40, deadline=None)
@given(top=SECTION, prod=SECTION)
def test_whatever_a_parameter_may_hold_is_read_as_it_is_written_and_where(
    tmp_path_factory: pytest.TempPathFactory, top: dict[Parameter, Any], prod: dict[Parameter, Any]
) -> None:
    folder = tmp_path_factory.mktemp("file")
    text = [*lines(top, ""), *lines(prod, "stages.prod.")]
    file = read(write(folder, "\n".join(text)))
    assert {key: entry.value for key, entry in file.top.items()} == {one.place: value for one, value in top.items()}
    entries = file.of("prod")
    assert {key: entry.value for key, entry in entries.items()} == {
        one.place: value for one, value in (top | prod).items()
    }
    for key, entry in entries.items():
        line = int(entry.where.rpartition(" ")[2])
        assert text[line - 1] == f"{key.partition('.')[2]} = {toml(entry.value)}"
    parameters = load({"stage": "prod"}, {}, folder).parameters
    assert {one: one.value(parameters[one.name]) for one in top | prod} == top | prod


@settings(max_examples=40, deadline=None)
@given(top=SECTION, prod=SECTION, data=st.data())
def test_a_key_that_is_none_is_named_with_its_line_wherever_it_stands(
    tmp_path_factory: pytest.TempPathFactory, top: dict[Parameter, Any], prod: dict[Parameter, Any], data: st.DataObject
) -> None:
    text = ["[parameters]", "[limits]", "[alarms]", "[stages.prod]", *lines(prod, "stages.prod.")]
    for one, value in top.items():
        text.insert(text.index(f"[{one.table}]") + 1, f"{one.key} = {toml(value)}")
    line = data.draw(st.integers(0, len(text)))
    key = data.draw(st.from_regex(r"[a-z]{1,8}_x", fullmatch=True))
    text.insert(line, f"{json.dumps(key)} = 1")
    path = write(tmp_path_factory.mktemp("file"), "\n".join(text))
    with pytest.raises(ImgpipeError) as caught:
        read(path)
    assert caught.value.message.startswith(f"{path}, line {line + 1}: there is no key '{key}'")
