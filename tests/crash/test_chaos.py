"""Everything at once: kills, freezes, thaws and cancels at random moments."""

import random
import threading

import pytest

from lmx.workflows.client import Client
from lmx.workflows.control import cancel
from lmx.workflows.database.connect import Database
from tests.support import pretend_model
from tests.support.eventually import eventually
from tests.support.exact import (
    assert_exact_trees,
    assert_nothing_left,
    finish_all,
    tree_budget,
)
from tests.support.workers import WorkerProcess, Workers

QUEUES = ("coordinator", "default", "gpu")
BRANCHES, LEAVES = 2, 4
SHORT = {"LMX_LEASE_S": "1", "LMX_HEARTBEAT_S": "0.2", "LMX_POLL_S": "0.1"}


def submit(client: Client, count: int) -> list[int]:
    budget = tree_budget(BRANCHES, LEAVES)
    return [client.submit("tree", BRANCHES, LEAVES, nesting=1, budget=budget) for _ in range(count)]


def unfinished(database: Database) -> list[int]:
    with database.connect() as conn:
        rows = conn.execute("SELECT id FROM lmx.tasks WHERE finished_at IS NULL").fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize("seed", range(2))
def test_processes_frozen_past_their_leases_disturb_nothing(
    workers: Workers, client: Client, seed: int
) -> None:
    """Two processes serve each queue; a frozen one wakes to find its work done by the other."""
    rng = random.Random(seed)
    pretend_model.register(workers.database)
    workers.settings |= SHORT
    processes = {queue: [workers.start(queue), workers.start(queue)] for queue in QUEUES}
    for process in workers.started:
        workers.serving(process)
    runs: list[int] = []
    for _ in range(6):
        runs += submit(client, 4)
        frozen = rng.choice(processes[rng.choice(QUEUES)])
        threading.Event().wait(rng.uniform(0, 0.1))
        frozen.freeze()
        declared_dead(workers, frozen)
        frozen.thaw()
    outputs = finish_all(workers.database, runs)
    assert all(process.alive for process in workers.started)
    assert_exact_trees(workers, outputs, BRANCHES, LEAVES)


def declared_dead(workers: Workers, frozen: WorkerProcess) -> None:
    query = "SELECT 1 FROM lmx.workers WHERE pid = %s AND stopped_at IS NULL"
    with workers.database.connect() as conn:
        eventually(lambda: not conn.execute(query, [frozen.pid]).fetchone(), "its lease's end")


@pytest.mark.parametrize("seed", range(2))
def test_kills_and_cancels_leave_nothing_behind(
    workers: Workers, client: Client, seed: int
) -> None:
    """Whatever is cancelled wherever: all ends, no lease or hold stays, all sums are exact."""
    rng = random.Random(seed)
    pretend_model.register(workers.database)
    living = {queue: workers.start(queue) for queue in QUEUES}
    runs: list[int] = []
    for _ in range(30):
        runs += submit(client, 2)
        threading.Event().wait(rng.uniform(0, 0.1))
        if open_tasks := unfinished(workers.database):
            cancel(workers.database, rng.choice(open_tasks))
        queue = rng.choice(QUEUES)
        living[queue].kill()
        living[queue] = workers.start(queue)
    for run in runs:
        assert client.wait(run, 60).state in ("succeeded", "failed", "cancelled")
    eventually(lambda: not unfinished(workers.database), "the end of all tasks")
    assert_nothing_left(workers.database)
