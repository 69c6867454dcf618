"""What keeps a supervisor from starting is said in one line, and nothing is left behind."""

import socket
from pathlib import Path

from lmx.workflows.database.connect import Database
from tests.support.eventually import eventually
from tests.support.supervised import IDLE, supervising


def test_there_is_one_supervisor_per_home(home: Path, database: Database) -> None:
    with supervising(home, database, {"a": IDLE}) as first:
        child = first.running("a")
        with supervising(home, database, {"a": IDLE}) as second:
            assert second.ended() == 3
            eventually(lambda: second.printed(f"already running in {home}"), "the reason")
            assert second.printed(f"(pid {first.process.pid})")
            assert len(second.output) == 1
        assert first.running("a") == child


def test_two_homes_have_a_supervisor_each(home: Path, tmp_path: Path, database: Database) -> None:
    with (
        supervising(home, database, {"a": IDLE}) as one,
        supervising(tmp_path, database, {"a": IDLE}) as other,
    ):
        assert one.running("a") != other.running("a")


def test_a_taken_port_is_named_before_anything_is_started(home: Path, database: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with supervising(home, database, {"api": IDLE}, LMX_API_PORT=str(port)) as lmx:
            assert lmx.ended() == 5
            eventually(lambda: lmx.printed(f"port {port} on 127.0.0.1 is already"), "the reason")
            assert lmx.printed("LMX_API_PORT")
            assert len(lmx.output) == 1


def test_an_address_that_others_could_reach_is_refused(home: Path, database: Database) -> None:
    with supervising(home, database, {"api": IDLE}, LMX_API_HOST="0.0.0.0") as lmx:
        assert lmx.ended() == 5
        eventually(lambda: lmx.printed("LMX_API_HOST=0.0.0.0 would open the API"), "the reason")
        assert not (home / "logs").exists(), "nothing was begun, or waited for"


def test_a_database_that_is_down_is_named(home: Path, database: Database) -> None:
    nobody = Database("host=127.0.0.1 port=1 dbname=lmx user=lmx")
    with supervising(home, nobody, {"a": IDLE}) as lmx:
        assert lmx.ended() == 5
        eventually(lambda: lmx.printed("does not answer: nothing listens there"), "the reason")
        assert len(lmx.output) == 1


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path, database: Database) -> None:
    file = tmp_path / "file"
    file.touch()
    with supervising(file, database, {"a": IDLE}) as lmx:
        assert lmx.ended() == 5
        eventually(lambda: lmx.printed("set LMX_HOME to a folder that you can write"), "a hint")
