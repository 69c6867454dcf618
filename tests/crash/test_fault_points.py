"""A process that is killed just before or just after any commit costs nothing but time."""

import signal

import pytest

from lmx.workflows.client import Client
from tests.support import pretend_model
from tests.support.eventually import eventually
from tests.support.exact import (
    assert_exact_trees,
    assert_nothing_left,
    finish_all,
    tree_budget,
)
from tests.support.workers import WorkerProcess, Workers

BRANCHES, LEAVES = 3, 4

#: Where each kind of commit happens in a run of `flows.tree`.
POINTS = [
    ("coordinator", "claim"),
    ("coordinator", "checkpoint"),
    ("coordinator", "memory"),
    ("coordinator", "spawn"),
    ("coordinator", "park"),
    ("coordinator", "finish"),
    ("default", "claim"),
    ("default", "finish"),
    ("default", "retry"),
    ("gpu", "claim"),
    ("gpu", "finish"),
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("queue", "kind"), POINTS)
def test_a_kill_at_a_commit_leaves_an_exact_tree(
    workers: Workers, client: Client, queue: str, kind: str, when: str
) -> None:
    """Killed at the first such commit; its successor at its first, too; the next at its second."""
    pretend_model.register(workers.database)
    for name in ("coordinator", "default", "gpu"):
        if name != queue:
            workers.start(name)
    run = client.submit("tree", BRANCHES, LEAVES, nesting=1, budget=tree_budget(BRANCHES, LEAVES))
    doomed = workers.start(queue, slots=1, fault=f"{kind}.{when}:1")
    doomed.wait_gone()
    for count in (1, 2):
        doomed = workers.start(queue, slots=1, fault=f"{kind}.{when}:{count}")
        wait_for_end(workers, doomed, run)
    workers.start(queue)
    outputs = finish_all(workers.database, [run])
    assert_exact_trees(workers, outputs, BRANCHES, LEAVES)


def wait_for_end(workers: Workers, doomed: WorkerProcess, run: int) -> None:
    """Wait until the process has met its end, or the run has: group commits vary in number."""
    with workers.database.connect() as conn:
        query = "SELECT 1 FROM lmx.tasks WHERE id = %s AND finished_at IS NOT NULL"
        eventually(
            lambda: not doomed.alive or conn.execute(query, [run]).fetchone(), "an end of either"
        )


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_while_tasks_are_given_back_loses_none(
    workers: Workers, client: Client, when: str
) -> None:
    """SIGTERM requeues what was not begun; the process dies doing so."""
    worker = workers.start("default", slots=1, fault=f"requeue.{when}:1")
    workers.serving(worker)
    first = client.enqueue("gated", args=["one"])
    workers.noted("gated")
    waiting = client.enqueue_many("leaf", [{"args": [n], "kwargs": {}} for n in range(5)])
    worker.send(signal.SIGTERM)
    workers.open_gate("one")
    worker.wait_gone()
    workers.start("default")
    finish_all(workers.database, [first, *waiting])
    assert_nothing_left(workers.database)
