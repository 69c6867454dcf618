"""The server crashes, or its connections break, while work goes on: nothing is lost or doubled."""

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmx.workflows.client import Client
from lmx.workflows.database import migrate
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import DatabaseUnavailable
from tests.support import pretend_model
from tests.support.eventually import eventually
from tests.support.exact import (
    assert_exact_trees,
    assert_nothing_left,
    finish_all,
    tree_budget,
)
from tests.support.postgres import PostgresServer
from tests.support.workers import Workers
from tests.support.zygote import Zygote

BRANCHES, LEAVES = 3, 4
QUEUES = ("coordinator", "default", "gpu")


@pytest.fixture
def own(pg_server: PostgresServer, tmp_path: Path, zygote: Zygote) -> Iterator[Workers]:
    """Workers on a server of the test's own, which nobody but the test starts again."""
    database = Database(pg_server.database().conninfo)
    migrate.upgrade(database)
    settings = {"LMX_LEASE_S": "1.5", "LMX_HEARTBEAT_S": "0.3", "LMX_POLL_S": "0.2"}
    workers = Workers(database, tmp_path, zygote, settings)
    yield workers
    workers.close()
    database.engine.dispose()


def submit(workers: Workers, runs: int) -> list[int]:
    client = Client(workers.database)
    budget = tree_budget(BRANCHES, LEAVES)
    ids = [client.submit("tree", BRANCHES, LEAVES, nesting=1, budget=budget) for _ in range(runs)]
    client.close()
    return ids


def finished(database: Database) -> int:
    with database.connect() as conn:
        row = conn.execute("SELECT count(*) FROM lmx.tasks WHERE finished_at IS NOT NULL")
        return int((row.fetchone() or [0])[0])


def test_a_server_crash_under_load_loses_and_doubles_nothing(
    own: Workers, pg_server: PostgresServer
) -> None:
    pretend_model.register(own.database)
    processes = [own.start(queue) for queue in QUEUES]
    runs = submit(own, 40)
    for crash in range(1, 5):
        eventually(lambda crash=crash: finished(own.database) >= 60 * crash, "some work done")
        pg_server.stop_immediately()
        pg_server.start()
    outputs = finish_all(own.database, runs)
    assert_exact_trees(own, outputs, BRANCHES, LEAVES)
    assert all(process.alive for process in processes), "no process had to be restarted"


def test_a_body_that_outlasts_a_server_crash_is_not_repeated(
    own: Workers, pg_server: PostgresServer
) -> None:
    """Even if the server was away for longer than the lease: nobody could renew it."""
    own.start("default")
    client = Client(own.database)
    task = client.enqueue("gated", args=["one"])
    own.noted("gated")
    own.serving(own.start("default"))
    pg_server.stop_immediately()
    with pytest.raises(DatabaseUnavailable):
        own.database.connect()
    time.sleep(2)  # the subject of this test: a lease's time passes while no server runs
    pg_server.start()
    beaten = "SELECT count(*) FROM lmx.workers WHERE stopped_at IS NULL AND seen_at > %s"
    with own.database.connect() as conn:
        started = conn.execute("SELECT pg_postmaster_start_time()").fetchone()
        eventually(
            lambda: (conn.execute(beaten, started).fetchone() or [0])[0] == 2, "both workers back"
        )
    own.open_gate("one")
    token = client.result(task, 20)
    client.close()
    assert [note["token"] for note in own.notes("gated")] == [token]
    assert_nothing_left(own.database)


def test_an_outage_costs_no_coordinator_an_attempt(own: Workers, pg_server: PostgresServer) -> None:
    pretend_model.register(own.database)
    for queue in QUEUES:
        own.start(queue)
    runs = submit(own, 20)
    for crash in range(1, 4):
        eventually(lambda crash=crash: finished(own.database) >= 40 * crash, "some work done")
        pg_server.stop_immediately()
        pg_server.start()
    finish_all(own.database, runs)
    with own.database.connect() as conn:
        query = "SELECT name, error FROM lmx.tasks WHERE role = 'coordinator' AND attempts > 0"
        assert conn.execute(query).fetchall() == []


def test_processes_can_be_stopped_while_the_server_is_away(
    own: Workers, pg_server: PostgresServer
) -> None:
    pretend_model.register(own.database)
    processes = [own.start(queue, LMX_SHUTDOWN_GRACE_S="2") for queue in QUEUES]
    runs = submit(own, 10)
    eventually(lambda: finished(own.database) >= 20, "some work done")
    pg_server.stop_immediately()
    for process in processes:
        process.send(signal.SIGTERM)
    for process in processes:
        process.wait_gone()
    pg_server.start()
    for queue in QUEUES:
        own.start(queue)
    assert_exact_trees(own, finish_all(own.database, runs), BRANCHES, LEAVES)


def test_connections_that_break_twenty_times_cost_nothing(workers: Workers) -> None:
    pretend_model.register(workers.database)
    rng = random.Random(7)
    for queue in QUEUES:
        workers.start(queue)
    runs = submit(workers, 60)
    with workers.database.connect(application_name="the test") as conn:
        for cut in range(1, 21):
            goal = 40 * cut + rng.randrange(20)
            eventually(lambda goal=goal: finished(workers.database) >= goal, "some work done")
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    outputs = finish_all(workers.database, runs)
    assert_exact_trees(workers, outputs, BRANCHES, LEAVES)
    calls = Counter(workers.executions("call").values())
    assert calls[1] > 0
