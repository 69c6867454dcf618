"""A worker killed between what an actor did and what is recorded of it doubles nothing."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dramatiq import group, pipeline

from lmx.workers.broker import PostgresBroker
from lmx.workflows.database.connect import Connection, Database
from tests.broker import actors

ROOT = Path(__file__).parents[2]
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    """Where the actors of the worker processes write down that they ran."""
    path = tmp_path / "diary"
    path.touch()
    return path


@pytest.fixture
def broker(database: Database) -> Iterator[PostgresBroker]:
    """The sending side of the actors that the processes run."""
    made = actors.make_broker(database)
    yield made
    made.close()


@pytest.fixture
def start(database: Database, diary: Path) -> Iterator[Start]:
    """Starts worker processes; `fault` names the point at which one kills itself."""
    started: list[subprocess.Popen[bytes]] = []

    def run(fault: str = "", command: tuple[str, ...] = ("-m", "tests.broker.actors")) -> object:
        paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
        settings = {
            "LMX_FAULT": fault,
            "PYTHONPATH": paths,
            actors.DATABASE: database.conninfo,
            actors.DIARY: str(diary),
        }
        process = subprocess.Popen([sys.executable, *command], env={**os.environ, **settings})
        started.append(process)
        return process

    yield run  # type: ignore[misc]
    for process in started:
        process.kill()
        process.wait()


def ran(diary: Path) -> Counter[str]:
    """How often each actor ran."""
    return Counter(diary.read_text(encoding="utf-8").split("\n")[:-1])


def tasks(sql: Connection) -> Counter[tuple[str, str]]:
    """How many tasks there are of each name and state."""
    rows = sql.execute("SELECT name, state::text FROM lmx.tasks").fetchall()
    return Counter((name, state) for name, state in rows)


@pytest.mark.parametrize("fault", ["send.before", "send.after", "claim.after"])
def test_a_pipeline_goes_on_once(
    broker: PostgresBroker, start: Start, sql: Connection, diary: Path, fault: str
) -> None:
    # Given a worker that dies when it commits a step with the message for the next one
    step, then = broker.get_actor("first"), broker.get_actor("second")
    pipeline([step.message("a"), then.message()], broker=broker).run()
    assert start(fault).wait(30) == -signal.SIGKILL

    # When another one takes over
    start()
    broker.join("default", timeout=30_000)

    # Then each step has succeeded once, and the second one ran once
    assert tasks(sql) == {("first", "succeeded"): 1, ("second", "succeeded"): 1}
    assert ran(diary)["second a"] == 1


@pytest.mark.parametrize("fault", ["retry.before", "retry.after"])
def test_a_retry_is_not_doubled(
    broker: PostgresBroker, start: Start, sql: Connection, fault: str
) -> None:
    flaky = broker.get_actor("flaky")
    flaky.send_with_options(args=("a",), max_retries=2)
    assert start(fault).wait(30) == -signal.SIGKILL
    start()
    broker.join("default", timeout=30_000)
    assert tasks(sql) == {("flaky", "failed"): 1}


@pytest.mark.parametrize("fault", ["finish.before:2", "finish.after:2", "send.before"])
def test_a_group_ends_once(
    broker: PostgresBroker, start: Start, sql: Connection, diary: Path, fault: str
) -> None:
    # Given a group whose worker dies after a member has counted the barrier down
    member = broker.get_actor("first")
    together = group([member.message(name) for name in "abcd"], broker=broker)
    together.add_completion_callback(broker.get_actor("finish").message())
    together.run()
    assert start(fault).wait(30) == -signal.SIGKILL

    # When another one takes over
    start()
    broker.join("default", timeout=30_000)

    # Then its callback has run once, after all
    assert tasks(sql) == {("first", "succeeded"): 4, ("finish", "succeeded"): 1}
    assert ran(diary)["finish"] == 1
    assert sorted(together.get_results()) == list("abcd")


def test_the_result_of_a_message_that_kills_its_workers_is_a_failure(
    broker: PostgresBroker, sql: Connection
) -> None:
    # Given a message that was set aside because its workers died with it
    message = broker.get_actor("first").send("a")
    sql.execute(
        "UPDATE lmx.tasks SET state = 'failed', finished_at = now(), error ="
        """ '{"kind": "poison", "message": "its worker died 5 times"}'"""
    )

    # When somebody asks for its result, I expect to be told instead of waiting in vain
    with pytest.raises(Exception, match="its worker died 5 times"):
        message.get_result(block=True, timeout=20_000)


def test_the_dramatiq_command_runs_it_and_stops_it(
    broker: PostgresBroker, start: Start, sql: Connection, diary: Path
) -> None:
    # Given workers started with Dramatiq's own command
    options = ("--processes", "2", "--threads", "2")
    command = start(command=("-m", "dramatiq", "tests.broker.actors", *options))
    for number in range(50):
        broker.get_actor("second").send(str(number))
    broker.join("default", timeout=30_000)

    # When they are told to stop
    command.terminate()
    assert command.wait(30) == 0

    # Then everything was done once, and they have signed off
    assert ran(diary) == Counter(f"second {number}" for number in range(50))
    rows = sql.execute("SELECT stopped_at IS NOT NULL FROM lmx.workers").fetchall()
    assert rows == [(True,)] * 2
