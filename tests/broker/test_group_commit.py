"""Many tasks share one transaction, and none suffers for another."""

import threading
from collections.abc import Iterator

import dramatiq
import psycopg
import pytest

from lmx.workers.broker import PostgresBroker
from lmx.workers.delivery import EXECUTE
from lmx.workflows.commit import Committer
from lmx.workflows.database.connect import Connection, Database
from lmx.workflows.errors import InvalidInput
from lmx.workflows.operations import Operation
from tests.broker.conftest import Declare, Working

LEASED = (
    "INSERT INTO lmx.tasks (root_id, state, role, queue, name, worker_id, lease_seq)"
    " SELECT 0, 'leased', 'worker', 'q', 'work', 1, 1 FROM generate_series(1, %s) RETURNING id"
)


@pytest.fixture
def committer(database: Database) -> Iterator[Committer]:
    made = Committer(database.connect_hot)
    made.start()
    yield made
    made.stop()


def finish(task_id: int, output: object = None, state: str = "succeeded") -> Operation:
    return Operation("finish", task_id, 1, {"state": state, "output": output})


def lease(sql: Connection, number: int) -> list[int]:
    """Rows that a worker holds."""
    return [row[0] for row in sql.execute(LEASED, [number]).fetchall()]


@pytest.mark.parametrize("messages", [True, False], ids=["dramatiq messages", "lmx tasks"])
def test_sixteen_slots_need_few_transactions_per_task(
    database: Database, sql: Connection, working: Working, messages: bool
) -> None:
    # Given 2,000 tasks that do nothing
    broker = PostgresBroker(database, slots=16)
    name = "work" if messages else EXECUTE
    work = dramatiq.actor(broker=broker, actor_name=name)(lambda _: None)
    broker.enqueue_many([work.message(number) for number in range(2000)])
    if not messages:
        sql.execute("UPDATE lmx.tasks SET message = NULL, max_attempts = 1")

    # When one process works on them with sixteen threads
    with working(broker, threads=16):
        broker.join("default", timeout=60_000)
        counters = broker.counters

    # Then it has needed at most 0.15 transactions per task
    assert counters.claimed == 2000
    assert counters.commits <= 0.15 * 2000
    broker.close()


def test_an_operation_that_cannot_be_stored_harms_no_other(
    committer: Committer, sql: Connection
) -> None:
    # Given outcomes submitted together, some of which Postgres or JSON cannot hold
    ids = lease(sql, 6)
    outputs: list[object] = ["fine", "NUL \x00", {"not", "JSON"}, "fine", "fine", "fine"]
    hold = threading.Event()
    with Held(committer, hold):
        tickets = [
            committer.submit(finish(task, output))
            for task, output in zip(ids, outputs, strict=True)
        ]
        hold.set()

    # When they are committed, then only the guilty ones hear of it
    for place, ticket in enumerate(tickets):
        if place == 1:
            with pytest.raises(psycopg.errors.UntranslatableCharacter):
                ticket.wait(20)
        elif place == 2:
            with pytest.raises(InvalidInput):
                ticket.wait(20)
        else:
            assert ticket.wait(20)[0].accepted
    rows = sql.execute("SELECT state::text FROM lmx.tasks ORDER BY id").fetchall()
    assert [row[0] for row in rows] == [
        "succeeded",
        "leased",
        "leased",
        "succeeded",
        "succeeded",
        "succeeded",
    ]


class Held:
    """Keeps the committing thread busy, so that what is submitted meanwhile is one batch."""

    def __init__(self, committer: Committer, until: threading.Event) -> None:
        self.committer = committer
        self.until = until

    def __enter__(self) -> None:
        self.committer.post([], self)
        self.committer.wake()

    def __exit__(self, *_: object) -> None:
        self.until.set()

    def done(self, _: object) -> None:
        self.until.wait(20)

    def fail(self, _: BaseException) -> None:
        raise AssertionError


def test_what_was_submitted_before_the_stop_is_committed(
    database: Database, sql: Connection
) -> None:
    committer = Committer(database.connect_hot)
    committer.start()
    tickets = [committer.submit(finish(task)) for task in lease(sql, 50)]
    committer.stop()
    assert all(ticket.wait(0)[0].accepted for ticket in tickets)


def test_a_retry_falls_due_while_the_process_is_busy(
    broker: PostgresBroker, actor: Declare, working: Working
) -> None:
    # Given a queue that is never empty
    stop, retried = threading.Event(), threading.Event()

    def busy() -> None:
        if not stop.is_set():
            again.send()

    def flaky() -> None:
        if retried.is_set():
            stop.set()
            return
        retried.set()
        raise ValueError

    again = actor(busy)
    retry = actor(flaky, min_backoff=50, max_backoff=60)
    with working(broker):
        for _ in range(32):
            again.send()

        # When an actor is retried meanwhile, then it gets its turn
        retry.send()
        assert stop.wait(20)
        broker.join("default", timeout=20_000)
