"""Workers of all kinds are killed at random moments; what was accepted comes out exact, once."""

import random
import threading
import time

import pytest

from lmx.workflows.client import Client
from tests.support import pretend_model
from tests.support.exact import assert_exact_trees, finish_all, tree_budget
from tests.support.workers import WorkerProcess, Workers

QUEUES = ("coordinator", "default", "gpu")
BRANCHES, LEAVES = 2, 4
#: Unfinished runs that there are at every kill.
IN_FLIGHT = 8
LONGEST_PAUSE_S = 0.1
#: How long a process may take to begin something before it is killed all the same.
LONGEST_WAIT_S = 2.0


def top_up(client: Client, runs: list[int]) -> None:
    """Submit runs until enough of them are unfinished."""
    with client.database.connect() as conn:
        query = "SELECT count(*) FROM lmx.tasks WHERE parent_id IS NULL AND finished_at IS NULL"
        row = conn.execute(query).fetchone()
    assert row is not None
    budget = tree_budget(BRANCHES, LEAVES)
    runs.extend(
        client.submit("tree", BRANCHES, LEAVES, nesting=1, budget=budget)
        for _ in range(IN_FLIGHT - row[0])
    )


def recovered(workers: Workers) -> int:
    """How often a task was taken from a dead worker: the kills that met one at work."""
    with workers.database.connect() as conn:
        query = "SELECT count(*) FROM lmx.events WHERE kind = 'recovered'"
        [count] = conn.execute(query).fetchone() or [0]
    return int(count)


def let_it_work(workers: Workers, worker: WorkerProcess, bodies: int) -> None:
    """Wait until a process has begun so many bodies, or has found nothing to do for a while.

    Kills that follow each other faster than a busy machine starts processes would only prove that
    whatever never gets to run is a dead letter in the end.
    """
    deadline = time.monotonic() + LONGEST_WAIT_S
    while time.monotonic() < deadline:
        if sum(note["pid"] == worker.pid for note in workers.notes()) >= bodies:
            return
        time.sleep(0.01)


def kill_at_random(workers: Workers, client: Client, kills: int, rng: random.Random) -> list[int]:
    """Kill one of the three processes at a time and start it again at once; return the runs."""
    runs: list[int] = []
    pause = threading.Event()
    living: dict[str, WorkerProcess] = {queue: workers.start(queue) for queue in QUEUES}
    for _ in range(kills):
        top_up(client, runs)
        queue = rng.choice(QUEUES)
        let_it_work(workers, living[queue], bodies=rng.randrange(4))
        pause.wait(rng.uniform(0, LONGEST_PAUSE_S))
        living[queue].kill()
        living[queue] = workers.start(queue)
    return runs


@pytest.mark.parametrize("seed", range(2))
def test_a_hundred_random_kills_leave_exact_trees(
    workers: Workers, client: Client, seed: int
) -> None:
    pretend_model.register(workers.database)
    runs = kill_at_random(workers, client, 100, random.Random(seed))
    outputs = finish_all(workers.database, runs)
    assert recovered(workers) > 50, "the kills met tasks at work"
    assert_exact_trees(workers, outputs, BRANCHES, LEAVES)
