"""A task that kills its process is given up after five deliveries, and takes nobody with it."""

from lmx.workflows.client import Client
from lmx.workflows.sweep import MAX_DELIVERIES
from lmx.workflows.views import get_task
from tests.support.eventually import eventually
from tests.support.exact import assert_nothing_left, finish_all
from tests.support.workers import WorkerProcess, Workers


def restart_until_finished(
    workers: Workers, worker: WorkerProcess, task_id: int, slots: int
) -> int:
    """Start the worker again whenever it dies, until the task has ended; return how often."""
    restarts = 0
    while not ended(workers, task_id, worker):
        worker = workers.start("default", slots=slots)
        restarts += 1
    return restarts


def ended(workers: Workers, task_id: int, worker: WorkerProcess) -> bool:
    """Wait for the end of the task (True) or of the process (False)."""
    query = "SELECT 1 FROM lmx.tasks WHERE id = %s AND finished_at IS NOT NULL"
    with workers.database.connect() as conn:
        return eventually(
            lambda: [False] if not worker.alive else conn.execute(query, [task_id]).fetchall(),
            "the end of the task or of its process",
        ) != [False]


def test_poison_is_dead_lettered_and_its_parent_goes_on(workers: Workers, client: Client) -> None:
    workers.start("coordinator")
    worker = workers.start("default", slots=4)
    run = client.submit("with_poison", 12)
    restarts = restart_until_finished(workers, worker, run, slots=4)
    output = finish_all(workers.database, [run])[run]
    assert restarts == len(workers.notes("poison")) == MAX_DELIVERIES
    assert output["error"]["kind"] == "poison"
    tokens = {note["token"] for note in workers.notes("leaf")}
    assert len(output["leaves"]) == 12
    assert set(output["leaves"]) <= tokens
    assert_nothing_left(workers.database)


def test_long_tasks_beside_poison_are_not_taken_for_poison(
    workers: Workers, client: Client
) -> None:
    """Each is delivered as often as the poison; before the last delivery they run alone."""
    worker = workers.start("default", slots=4)
    neighbours = [client.enqueue("gated", args=["one"]) for _ in range(3)]
    workers.noted("gated", 3)
    bad = client.enqueue("poison")
    for death in range(1, MAX_DELIVERIES):
        workers.noted("poison", death)
        worker.wait_gone()
        if death == MAX_DELIVERIES - 1:
            workers.open_gate("one")
        worker = workers.start("default", slots=4)
    restart_until_finished(workers, worker, bad, slots=4)
    finish_all(workers.database, neighbours)
    assert get_task(workers.database, bad).state == "failed"
    assert len(workers.notes("poison")) == MAX_DELIVERIES
    assert_nothing_left(workers.database)


def test_a_task_that_fails_cleanly_is_not_poison(workers: Workers, client: Client) -> None:
    """Failed attempts are counted apart from deliveries: here there are more than five."""
    workers.start("default")
    task = client.enqueue("leaf", args=[0, 6], max_attempts=7)
    assert client.result(task, 20)
    assert get_task(workers.database, task).attempts == 6
