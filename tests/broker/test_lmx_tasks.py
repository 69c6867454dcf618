"""lmx's own tasks travel through the same broker, untouched by Dramatiq's middleware."""

from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
from dramatiq import Broker, Middleware

from lmx.workers.broker import PostgresBroker
from lmx.workers.delivery import EXECUTE
from lmx.workers.outcome import finish
from lmx.workflows.client import Client
from lmx.workflows.database.connect import Connection, Database
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Operation
from tests.broker.conftest import Working
from tests.support.eventually import eventually


class Curious(Middleware):
    """Counts the messages that it sees."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def before_process_message(self, broker: Broker, message: Any) -> None:
        self.seen.append(message.actor_name)


@pytest.fixture
def run(database: Database, working: Working) -> Callable[[Callable[[Lease], None]], Broker]:
    """Works off the queue with an executor."""

    def with_executor(execute: Callable[[Lease], None]) -> Broker:
        broker = PostgresBroker(database)
        broker.add_middleware(Curious())
        dramatiq.actor(actor_name=EXECUTE, broker=broker)(execute)
        with working(broker):
            broker.join("default", timeout=20_000)
        broker.close()
        return broker

    return with_executor


def enqueue(database: Database, *inputs: object, max_attempts: int = 1) -> list[int]:
    client = Client(database)
    ids = client.enqueue_many("anything", inputs, queue="default", max_attempts=max_attempts)
    client.close()
    return ids


def test_the_executor_receives_the_lease_and_decides_the_outcome(
    database: Database, sql: Connection, run: Callable[..., Broker]
) -> None:
    enqueue(database, {"args": [20]}, {"args": [21]})

    def execute(lease: Lease) -> None:
        lease.outcome = [finish(lease, "succeeded", output=lease.input["args"][0] * 2)]

    broker = run(execute)
    rows = sql.execute("SELECT state::text, output FROM lmx.tasks ORDER BY id").fetchall()
    assert rows == [("succeeded", 40), ("succeeded", 42)]
    (curious,) = [m for m in broker.middleware if isinstance(m, Curious)]
    assert curious.seen == []


def test_a_defect_of_the_executor_is_tried_again_and_then_recorded(
    database: Database, sql: Connection, run: Callable[..., Broker]
) -> None:
    enqueue(database, {}, max_attempts=2)

    def execute(lease: Lease) -> None:
        raise RuntimeError("a defect")

    run(execute)
    rows = sql.execute("SELECT state::text, attempts, error->>'message' FROM lmx.tasks").fetchall()
    assert rows == [("failed", 2, "a defect")]


def test_an_outcome_that_cannot_be_stored_is_recorded_as_a_failure(
    database: Database, sql: Connection, run: Callable[..., Broker]
) -> None:
    enqueue(database, {})

    def execute(lease: Lease) -> None:
        lease.outcome = [finish(lease, "succeeded", output="NUL \x00")]

    run(execute)
    ((state, error),) = sql.execute("SELECT state::text, error->>'type' FROM lmx.tasks").fetchall()
    assert (state, error) == ("failed", "UntranslatableCharacter")


def test_a_retry_decided_by_the_executor_comes_again(
    database: Database, sql: Connection, run: Callable[..., Broker]
) -> None:
    enqueue(database, {})

    def execute(lease: Lease) -> None:
        if lease.attempts < 2:
            fields = {"delay": 0.01, "error": {"kind": "exception", "message": "again"}}
            lease.outcome = [Operation("retry", lease.task_id, lease.seq, fields)]
        else:
            lease.outcome = [finish(lease, "succeeded")]

    run(execute)
    rows = sql.execute("SELECT state::text, attempts, lease_seq FROM lmx.tasks").fetchall()
    assert rows == [("succeeded", 2, 3)]


def test_a_process_leaves_what_it_cannot_run_to_others(
    database: Database, sql: Connection, working: Working
) -> None:
    # Given one of lmx's tasks ahead of a message, and a process without an executor
    enqueue(database, {})
    broker = PostgresBroker(database)
    seen: list[int] = []
    work = dramatiq.actor(broker=broker, actor_name="work")(lambda n: seen.append(n))
    message = work.message(1)
    broker.enqueue(message.copy(options={"priority": 0}))

    # When it works off the queue
    with working(broker):
        eventually(lambda: seen == [1], "the message was processed")
    broker.close()

    # Then the task still waits, unclaimed
    row = sql.execute(
        "SELECT state::text, deliveries FROM lmx.tasks WHERE name = 'anything'"
    ).fetchone()
    assert row == ("ready", 0)
