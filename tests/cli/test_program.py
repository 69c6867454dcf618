"""The program itself: how fast it answers, its help, its pipes."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lmx.api.cli.app import app, execute
from tests.support.command import Lmx
from tests.support.hands import Hands
from tests.support.processes import run_python

COMMANDS = [
    "up",
    "down",
    "status",
    "enqueue",
    "run",
    "runs",
    "show",
    "wait",
    "logs",
    "resume",
    "retry",
    "cancel",
    "pause",
    "fork",
    "signal",
    "reject",
    "models",
    "db",
    "vram",
    "budget",
    "demo",
    "doctor",
    "version",
]

SLOW_TO_IMPORT = ("psycopg", "sqlalchemy", "alembic", "fastapi", "dramatiq", "psutil", "lmx.engine")


def test_help_imports_nothing_that_is_slow() -> None:
    code = (
        "import sys; from lmx.api.cli.app import execute; execute(['--help']);"
        f"print('slow:', [name for name in {SLOW_TO_IMPORT!r} if name in sys.modules])"
    )
    assert run_python(code).splitlines()[-1] == "slow: []"


def test_all_commands_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["--help"]) == 0
    listed = capsys.readouterr().out
    for command in COMMANDS:
        assert f" {command} " in listed


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert execute([command, "--help"]) == 0
    assert "Usage: lmx" in capsys.readouterr().out


def test_without_a_command_it_shows_its_help(lmx: Lmx) -> None:
    result = lmx()
    assert (result.code, result.err) == (2, "")
    assert "Usage: lmx" in result.out


def test_version_names_both_distributions(lmx: Lmx) -> None:
    lines = lmx("version").out.splitlines()
    assert [line.split()[0] for line in lines] == ["lmx", "lmx-engine"]
    assert lmx("--version").out.splitlines() == lines


def test_a_reader_that_leaves_early_is_no_error(lmx: Lmx, hands: Hands) -> None:
    for _ in range(3):
        lmx("enqueue", "--function", "call")
    process = lmx.start("runs", "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 0
    process.stderr.close()


def test_the_installed_script_is_the_same_program(lmx: Lmx) -> None:
    code = "import sys; sys.argv = ['lmx', 'version']; from lmx.api.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=dict(lmx.environment),
    )
    assert done.stdout.startswith("lmx ")
    assert app.info.name == "lmx"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_result_that_a_full_disk_swallows_is_an_error_in_one_line() -> None:
    done = in_shell("version >/dev/full")
    assert done.returncode == 5
    assert done.stderr == "lmx: the result cannot be written: no space left on the device\n"


def test_a_closed_standard_output_is_no_error() -> None:
    done = in_shell("version >&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_encoding_without_the_character_shows_another(lmx: Lmx, hands: Hands) -> None:
    run = lmx("run", "review").out.strip()
    done = in_shell(f"show {run}", {**lmx.environment, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert f"review #{run}" in done.stdout


def test_a_number_that_no_task_can_have_is_bad_input(lmx: Lmx) -> None:
    result = lmx("wait", "99999999999999999999")
    assert (result.code, result.err.count("\n")) == (2, 1)


def in_shell(
    command: str, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command line of lmx with the shell's redirections."""
    return subprocess.run(
        ["/bin/sh", "-c", f'"$0" -m lmx.api.cli {command}', sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
        env=None if environment is None else dict(environment),
    )
