"""The supervisor keeps its children running and tells what they do."""

import os
import re
import signal
from pathlib import Path

import psutil

from lmx.workflows.database.connect import Database
from tests.support.eventually import eventually
from tests.support.supervised import IDLE, STUBBORN, gone, supervising

NO_PLACE = "import sys; print('the disk is full'); sys.exit(5)"


def test_a_killed_child_is_started_again(home: Path, database: Database) -> None:
    with supervising(home, database, {"a": IDLE, "b": IDLE}) as lmx:
        first, other = lmx.running("a"), lmx.running("b")
        os.kill(first, signal.SIGKILL)
        assert lmx.running("a", restarts=1) != first
        assert lmx.running("b") == other
        assert lmx.printed("ended with signal SIGKILL; starts again in 0.1 s")


def test_every_line_is_shown_with_its_process_and_kept_in_a_file(
    home: Path, database: Database
) -> None:
    speaker = "print('one\\n\\ntwo'); import sys; print('[bold]three', file=sys.stderr)\n" + IDLE
    with supervising(home, database, {"api-like": speaker, "b": IDLE}) as lmx:
        lmx.running("api-like")
        lmx.running("b")
        shown = [line for line in lmx.output if line.startswith("api-like | ")]
        assert [line for line in shown if line.endswith(("one", "two", "[bold]three"))]
        assert any(line.startswith("b        | ready ") for line in lmx.output)
        kept = (home / "logs" / "api-like.log").read_text()
        assert re.search(r"^\d{4}-\d\d-\d\dT[\d:+-]+ two$", kept, re.MULTILINE)
        assert "[bold]three" in kept


def test_a_last_line_without_a_newline_and_a_very_long_one_are_shown(
    home: Path, database: Database
) -> None:
    wordy = "import sys; print('x' * 100_000); sys.stdout.write('no newline'); sys.exit(1)"
    with supervising(home, database, {"a": wordy}) as lmx:
        eventually(lambda: lmx.printed("no newline"), "the last line")
        kept = (home / "logs" / "a.log").read_text()
        assert sum(len(part) for part in re.findall("x+", kept.split("[ended")[0])) == 100_000


def test_a_child_that_cannot_run_here_fails_with_its_last_line_and_the_rest_goes_on(
    home: Path, database: Database
) -> None:
    children = {"a": NO_PLACE, "b": IDLE}
    with supervising(home, database, children, policy={"first_s": 0.01}) as lmx:
        other = lmx.running("b")

        def failed() -> bool:
            child = lmx.child("a")
            return child is not None and child.state == "failed"

        eventually(failed, "a marked as failed")
        child = lmx.child("a")
        assert child is not None
        assert child.last_line == "the disk is full"
        assert lmx.printed("does not allow it to run: the disk is full; starts again in 60 s")
        assert lmx.running("b") == other


def test_a_failed_child_comes_back_when_its_environment_allows_it(
    home: Path, database: Database
) -> None:
    gate = home / "gate"
    code = f"import os, sys; os.path.exists({str(gate)!r}) or sys.exit(5)\n" + IDLE
    policy = {"first_s": 0.01, "failed_s": 0.05}
    with supervising(home, database, {"a": code, "b": IDLE}, policy=policy) as lmx:
        eventually(lambda: lmx.printed("does not allow it to run"), "a failed")
        gate.touch()
        assert lmx.running("a", restarts=4)


def test_when_no_child_can_run_the_supervisor_ends_with_an_environment_error(
    home: Path, database: Database
) -> None:
    with supervising(home, database, {"a": NO_PLACE}, policy={"first_s": 0.01}) as lmx:
        assert lmx.ended() == 5
        eventually(lambda: lmx.printed("no process can run here"), "the reason")


def test_a_reader_of_its_lines_that_leaves_stops_nothing(home: Path, database: Database) -> None:
    with supervising(home, database, {"a": IDLE}, heard_until="[started") as lmx:
        eventually(lambda: not lmx.reader.is_alive(), "the reader's end")

        def pid(restarts: int) -> int:
            child = lmx.child("a")
            return (child and child.restarts == restarts and child.pid) or 0

        os.kill(eventually(lambda: pid(0), "the start"), signal.SIGKILL)
        eventually(lambda: pid(1), "the restart")
        eventually(lambda: "signal SIGKILL" in (home / "logs" / "a.log").read_text(), "its line")


def test_what_a_dead_child_leaves_in_its_group_is_killed(home: Path, database: Database) -> None:
    parent = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'input()'],"
        " stdin=subprocess.PIPE); print('grandchild', p.pid)\n" + IDLE
    )
    with supervising(home, database, {"a": parent}) as lmx:
        pid = lmx.running("a")
        line = next(line for line in lmx.output if "grandchild" in line)
        grandchild = psutil.Process(int(line.split()[-1]))
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: gone(grandchild), "the grandchild's end")


def test_a_killed_supervisor_takes_its_children_along(home: Path, database: Database) -> None:
    with supervising(home, database, {"a": IDLE, "b": IDLE}) as lmx:
        children = [psutil.Process(lmx.running(name)) for name in ("a", "b")]
        lmx.process.kill()
        for child in children:
            eventually(lambda child=child: gone(child), "the child's end")  # type: ignore[misc]


def test_the_next_supervisor_ends_a_child_that_outlived_a_killed_one(
    home: Path, database: Database
) -> None:
    with supervising(home, database, {"a": STUBBORN}) as killed:
        left = psutil.Process(killed.running("a"))
        killed.process.kill()
        killed.process.wait()
        assert not gone(left)
        with supervising(home, database, {"a": IDLE}, LMX_SHUTDOWN_GRACE_S="0.2") as successor:
            successor.running("a")
            assert gone(left)
            assert successor.printed("ending a, which its killed supervisor left running")
