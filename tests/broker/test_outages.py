"""Notifications may get lost and connections break: everything goes on."""

import threading
from collections import Counter
from functools import partial

import dramatiq
import pytest

from lmx.workers.broker import PostgresBroker
from lmx.workflows.database import migrate
from lmx.workflows.database.connect import Connection, Database
from tests.broker.conftest import Declare, Working
from tests.support.eventually import eventually
from tests.support.postgres import PostgresServer

HANG_UP = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def has_seen(seen: Counter[int], number: int) -> bool:
    """Whether so many messages have been processed."""
    return len(seen) >= number


def test_a_message_is_found_without_its_notification(
    broker: PostgresBroker, actor: Declare, database: Database, sql: Connection, working: Working
) -> None:
    # Given an idle worker that polls every 50 ms
    polling = PostgresBroker(database, poll_s=0.05)
    seen = threading.Event()
    polling.declare_queue("default")
    actor(lambda: None, actor_name="work")
    waiting = broker.get_actor("work").send_with_options(delay=3_600_000)
    polling.actors["work"] = broker.get_actor("work")
    broker.get_actor("work").fn = seen.set

    with working(polling):
        # When a message becomes ready and nobody is told
        sql.execute("UPDATE lmx.tasks SET state = 'ready', run_at = NULL")

        # Then it is processed all the same
        assert seen.wait(20), waiting
        polling.join("default", timeout=20_000)
    polling.close()


def test_broken_connections_lose_and_double_nothing(
    broker: PostgresBroker, actor: Declare, sql: Connection, working: Working
) -> None:
    # Given many messages
    seen: Counter[int] = Counter()
    lock = threading.Lock()

    def count(number: int) -> None:
        with lock:
            seen[number] += 1

    work = actor(count)
    broker.enqueue_many([work.message(number) for number in range(2000)])
    with working(broker):
        # When every connection is cut five times while they are processed
        for cut in range(1, 6):
            eventually(partial(has_seen, seen, cut * 300), "work goes on")
            sql.execute(HANG_UP)
        broker.join("default", timeout=60_000)

    # Then each message was processed once: the worker itself has never been away
    assert seen == Counter(range(2000))
    rows = sql.execute("SELECT DISTINCT state::text, deliveries FROM lmx.tasks").fetchall()
    assert rows == [("succeeded", 1)]


def test_claims_whose_answer_was_lost_are_given_back(
    broker: PostgresBroker, actor: Declare, sql: Connection, working: Working
) -> None:
    # Given a worker, and a task that the database says it holds although it does not know of it
    seen: list[int] = []
    work = actor(seen.append, actor_name="work")
    with working(broker):
        eventually(lambda: broker.worker_id, "the worker has registered")
        work.send_with_options(args=(1,), delay=3_600_000)
        sql.execute(
            "UPDATE lmx.tasks SET state = 'leased', run_at = NULL, worker_id = %s,"
            " lease_seq = 1, deliveries = 1",
            [broker.worker_id],
        )

        # When its connection breaks, as it does when an answer is lost
        sql.execute(HANG_UP)

        # Then the worker gives the task back and processes it
        broker.join("default", timeout=20_000)
    assert seen == [1]


def test_enqueueing_outlives_a_broken_connection(
    broker: PostgresBroker, actor: Declare, sql: Connection
) -> None:
    # Given a client whose connection breaks after every message
    work = actor(lambda number: None, actor_name="work")
    for number in range(5):
        work.send(number)
        sql.execute(HANG_UP)

    # Then every message was queued once
    assert sql.execute("SELECT count(*) FROM lmx.tasks").fetchone() == (5,)


@pytest.fixture
def own(pg_server: PostgresServer) -> Database:
    """A database on a server that a test may stop."""
    database = pg_server.database()
    migrate.upgrade(database)
    return database


def test_a_server_that_crashes_under_load_is_waited_for(
    own: Database, pg_server: PostgresServer, working: Working
) -> None:
    # Given a worker busy on a server
    broker = PostgresBroker(own)
    seen: Counter[int] = Counter()
    lock = threading.Lock()

    def count(number: int) -> None:
        with lock:
            seen[number] += 1

    work = dramatiq.actor(broker=broker)(count)
    broker.enqueue_many([work.message(number) for number in range(3000)])
    with working(broker):
        eventually(partial(has_seen, seen, 500), "work has begun")

        # When the server is stopped without warning and started again
        pg_server.stop_immediately()
        own = pg_server.database()
        broker.join("default", timeout=60_000)

    # Then every message is done, and none was forgotten
    with own.connect() as conn:
        rows = conn.execute("SELECT state::text, count(*) FROM lmx.tasks GROUP BY 1").fetchall()
    assert rows == [("succeeded", 3000)]
    assert set(seen) == set(range(3000))
    assert max(seen.values()) == 1, "a worker that never died repeats nothing"
    broker.close()
