"""The supervisor stops its children in good order, however it is told to."""

import signal
from pathlib import Path

import psutil
import pytest

from lmx.api.supervisor.state import read_state, running_pid
from lmx.workflows.database.connect import Database
from tests.support.eventually import eventually
from tests.support.supervised import IDLE, STUBBORN, gone, supervising

TIDY = """
import os, signal, sys
def finish(*_):
    print("put everything away", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, finish)
print("ready", os.getpid(), flush=True)
while True: signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_children_may_finish_before_the_supervisor_ends(
    home: Path, database: Database, number: signal.Signals
) -> None:
    with supervising(home, database, {"a": TIDY, "b": IDLE}) as lmx:
        children = [psutil.Process(lmx.running(name)) for name in ("a", "b")]
        lmx.process.send_signal(number)
        assert lmx.ended() == 0
        eventually(lambda: lmx.printed("stopped"), "its last line")
        assert lmx.printed("put everything away")
        assert all(gone(child) for child in children)
    assert running_pid(home) is None
    assert read_state(home) is None


def test_a_child_that_does_not_end_is_killed_when_its_time_is_over(
    home: Path, database: Database
) -> None:
    with supervising(home, database, {"a": STUBBORN}, LMX_SHUTDOWN_GRACE_S="0.2") as lmx:
        child = psutil.Process(lmx.running("a"))
        lmx.process.terminate()
        assert lmx.ended() == 0
        assert gone(child)
        eventually(lambda: lmx.printed("did not end within 2.2 s: killed"), "the reason")


def test_a_second_signal_stops_at_once(home: Path, database: Database) -> None:
    with supervising(home, database, {"a": STUBBORN}, LMX_SHUTDOWN_GRACE_S="3600") as lmx:
        lmx.running("a")
        lmx.process.send_signal(signal.SIGINT)
        eventually(lambda: lmx.printed("a second Ctrl-C stops at once"), "the offer")
        lmx.process.send_signal(signal.SIGINT)
        assert lmx.ended() == 0


def test_a_child_between_two_starts_does_not_delay_the_stop(home: Path, database: Database) -> None:
    policy = {"first_s": 3600, "longest_s": 3600}
    with supervising(home, database, {"a": "raise SystemExit(1)"}, policy=policy) as lmx:
        eventually(lambda: lmx.printed("starts again in 3600 s"), "the long wait")
        lmx.process.terminate()
        assert lmx.ended() == 0
