"""Start-up, help, exit statuses, and one sentence for whatever goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import clean_environment

from imgpipe import help

from .conftest import Run

HEAVY = ("boto3", "botocore", "PIL", "pydantic", "rich")


def modules_after(*arguments: str) -> set[str]:
    program = (
        "import sys, json; sys.argv = ['imgpipe', *json.loads(sys.argv[1])]\n"
        "from imgpipe.__main__ import main\n"
        "main(); print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(arguments)], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ()])
def test_the_front_page_imports_nothing_but_itself(arguments: tuple[str, ...]) -> None:
    assert not modules_after(*arguments) & {*HEAVY, "typer", "image_pipeline"}


def test_the_help_of_a_command_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from imgpipe import app, help\n"
        "for command in help.COMMANDS: app.run([command, '--help'])\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & set(HEAVY)
    assert "typer" in loaded


@pytest.mark.parametrize("command", help.COMMANDS)
def test_every_command_has_help_with_examples(imgpipe: Run, command: str) -> None:
    done = imgpipe(command, "--help")
    examples = done.out.partition("Examples\n")[2].partition("\n\n")[0].splitlines()
    assert done.status == 0
    assert len(examples) >= 2
    assert all("imgpipe" in line or "IMGPIPE" in line for line in examples)


def test_the_parser_prints_the_same_front_page(process: Run) -> None:
    assert process("--json", "--help").out.strip() == help.page().strip() == process().out.strip()


def test_version(process: Run) -> None:
    from imgpipe import __version__

    for arguments in (["--version"], ["--json", "--version"]):
        assert process(*arguments).out == f"imgpipe {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("uplaod", "upload"),
        ("statsu", "status"),
        ("start", "up"),
        ("dowload", "get"),
        ("delete", "rm"),
        ("tail", "logs"),
    ],
)
def test_a_command_that_is_called_otherwise_here_is_found_by_a_typo_or_another_tool_s_name(
    imgpipe: Run, typed: str, meant: str
) -> None:
    assert imgpipe(typed).err.startswith(f"error: There is no command '{typed}'. Did you mean {meant}?\n")


def test_a_word_that_is_like_no_command_gets_no_guess(imgpipe: Run) -> None:
    assert imgpipe("zebra").err.startswith("error: There is no command 'zebra'.\n")


def test_every_other_name_leads_to_a_command() -> None:
    assert set(help.OTHER_NAMES.values()) <= help.COMMANDS.keys()
    assert not help.OTHER_NAMES.keys() & help.COMMANDS.keys()


MISUSE = {
    "a missing file": (["upload", "nowhere.jpg"], 2, "no_such_file"),
    "a folder without images": (["upload", "texts"], 2, "no_images"),
    "nothing to upload": (["upload"], 2, "usage"),
    "a pipe without a key": (["upload", "-"], 2, "usage"),
    "a sample of no size": (["upload", "--sample", "huge"], 2, "usage"),
    "two files with one key": (["upload", "texts/a.txt", "more/a.txt"], 2, "usage"),
    "an unknown command": (["uplaod"], 2, "usage"),
    "an unknown option": (["ls", "--colour"], 2, "usage"),
    "an unknown target": (["-t", "gcp", "ls"], 2, "unknown_target"),
    "aws without credentials": (["-t", "aws", "ls"], 5, "credentials"),
    "a profile for an emulator": (["--profile", "team", "ls"], 2, "usage"),
    "a bad stage": (["--stage", "Prod!", "ls"], 2, "usage"),
    "an endpoint for the wrong target": (["--endpoint-url", "http://127.0.0.1:1", "ls"], 2, "usage"),
    "filters with a token": (["ls", "--next", "x", "--failed"], 2, "usage"),
    "a day that is none": (["ls", "--day", "yesterday"], 2, "usage"),
    "a time that is none": (["logs", "--since", "noon"], 2, "usage"),
    "no images to remove": (["rm"], 2, "usage"),
    "nothing up: ls": (["ls"], 4, "not_up"),
    "nothing up: meta": (["meta", "x"], 4, "not_up"),
    "nothing up: get": (["get", "x"], 4, "not_up"),
    "nothing up: rm": (["rm", "x"], 4, "not_up"),
    "nothing up: logs": (["logs"], 4, "not_up"),
    "nothing up: env": (["env"], 4, "not_up"),
    "nothing up: status": (["status"], 4, "not_up"),
    "nothing up: upload": (["upload", "texts/a.txt"], 4, "not_up"),
}


@pytest.mark.parametrize(("arguments", "status", "code"), MISUSE.values(), ids=MISUSE)
def test_wrong_use_gets_one_sentence_a_hint_and_its_status(
    imgpipe: Run, tmp_path: Path, arguments: list[str], status: int, code: str
) -> None:
    for folder in ("texts", "more"):
        (tmp_path / "work" / folder).mkdir()
        (tmp_path / "work" / folder / "a.txt").write_text("no image")

    for_people, for_programs = imgpipe(*arguments), imgpipe(*arguments, "--json")

    assert (for_people.status, for_programs.status) == (status, status)
    assert for_people.out == ""
    error, hint = for_people.err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith(" hint: ")
    assert for_programs.err == ""
    assert for_programs.document["error"].keys() == {"code", "message", "hint"}
    assert for_programs.document["error"]["code"] == code


def test_a_failure_is_the_same_as_a_process(process: Run) -> None:
    done = process("ls", "--json")
    assert (done.status, done.document["error"]["code"], done.err) == (4, "not_up", "")


def test_a_reader_that_leaves_early_ends_it_quietly(tmp_path: Path) -> None:
    for arguments in (["--help"], ["ls", "--help"], ["ls", "--json"]):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as closed:
            command = [sys.executable, "-m", "imgpipe", *arguments]
            done = subprocess.run(
                command, stdout=closed, stderr=subprocess.PIPE, env=clean_environment(tmp_path), check=False
            )
        assert (done.returncode, done.stderr) == (141, b"")


def test_a_state_path_below_a_file_is_one_sentence(imgpipe: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = imgpipe("up", "--json", env={"IMGPIPE_HOME": str(tmp_path / "file" / "state")})
    assert done.status not in (0, 130)
    assert str(tmp_path / "file") in done.document["error"]["message"]
    assert "Traceback" not in done.err


def test_global_options_stand_before_and_after_the_command(imgpipe: Run) -> None:
    before, after = imgpipe("--json", "--stage", "one", "status"), imgpipe("status", "--stage", "one", "--json")
    assert before == after
    assert "one" in before.document["error"]["message"]


def test_what_nobody_foresaw_is_called_a_bug_and_debug_shows_where(process: Run, tmp_path: Path) -> None:
    site = tmp_path / "broken"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import imgpipe.config\nimgpipe.config.load = lambda *a: 1 // 0\n")
    calm = process("ls", env={"PYTHONPATH": str(site)})
    loud = process("ls", "--debug", env={"PYTHONPATH": str(site)})
    assert calm.status == loud.status == 1
    assert "bug" in calm.err
    assert "--debug" in calm.err
    assert "Traceback" not in calm.err
    assert "Traceback" in loud.err


def test_colour_is_for_terminals_and_for_whoever_forces_it(process: Run) -> None:
    assert "\x1b" not in process("ls").err
    assert "\x1b" in process("ls", env={"FORCE_COLOR": "1", "TERM": "xterm-256color"}).err
    assert "\x1b" not in process("ls", env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).err


def test_the_shell_completes_commands(process: Run) -> None:
    asked = {"_IMGPIPE_COMPLETE": "complete_bash", "COMP_WORDS": "imgpipe u", "COMP_CWORD": "1"}
    assert process(env=asked).out.split() == ["up", "upload"]


def test_nothing_to_take_down_is_no_failure(imgpipe: Run) -> None:
    done = imgpipe("down", "--yes", "--json")
    assert (done.status, done.document["outcome"]) == (0, "not_up")


def test_what_a_dead_engine_left_is_removed_only_when_told_to(imgpipe: Run, tmp_path: Path) -> None:
    left = tmp_path / "home" / "dev" / "state"
    left.mkdir(parents=True)
    assert imgpipe("down").status == 6
    assert left.exists()
    assert imgpipe("down", "--yes").status == 0
    assert not left.parent.exists()
