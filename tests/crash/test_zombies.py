"""A process that was frozen past its lease: what it still writes is refused, and it goes on."""

import itertools
from collections.abc import Callable

import pytest

from lmx.workflows.client import Client
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Operation
from lmx.workflows.sweep import sweep
from lmx.workflows.views import get_task
from tests.support.eventually import eventually
from tests.support.exact import assert_nothing_left, finish_all
from tests.support.hands import COORDINATORS, Hands, finishing, spawning
from tests.support.workers import WorkerProcess, Workers


def freeze_until_given_back(workers: Workers, zombie: WorkerProcess, task_id: int) -> None:
    """Freeze a process, and wait until others have taken its task away from it."""
    zombie.freeze()
    with workers.database.connect() as conn:
        query = (
            "SELECT pid FROM lmx.workers w JOIN lmx.tasks t ON t.worker_id = w.id WHERE t.id = %s"
        )

        def passed_on() -> bool:
            row = conn.execute(query, [task_id]).fetchone()
            return row is not None and row[0] != zombie.pid

        eventually(passed_on, "another worker with the task")


def test_a_frozen_workers_late_result_is_refused(workers: Workers, client: Client) -> None:
    zombie = workers.start("default", slots=2)
    task = client.enqueue("gated", args=["one"])
    [first] = workers.noted("gated")
    other = workers.start("default", slots=2)
    workers.serving(other)
    freeze_until_given_back(workers, zombie, task)
    workers.noted("gated", 2)
    workers.open_gate("one")
    token = client.result(task, 20)
    old_id = get_task(workers.database, task).deliveries
    zombie.thaw()
    assert token != first["token"]
    other.kill()
    later = client.enqueue("leaf", args=[1])
    assert client.result(later, 20), "the former zombie works on"
    assert workers.notes("leaf")[0]["pid"] == zombie.pid
    assert client.result(task) == token
    assert old_id == get_task(workers.database, task).deliveries == 2
    assert_nothing_left(workers.database)


def test_a_frozen_worker_registers_anew(workers: Workers, client: Client) -> None:
    zombie = workers.start("default")
    before = workers.serving(zombie)
    workers.serving(workers.start("default"))
    zombie.freeze()
    with workers.database.connect() as conn:
        query = "SELECT stopped_at FROM lmx.workers WHERE id = %s"
        eventually(lambda: conn.execute(query, [before]).fetchone()[0], "its lease's end")
        zombie.thaw()
        query = "SELECT id FROM lmx.workers WHERE pid = %s AND stopped_at IS NULL"
        row = eventually(lambda: conn.execute(query, [zombie.pid]).fetchone(), "a new worker id")
    assert row[0] > before


def test_a_frozen_coordinators_late_checkpoint_and_spawn_are_refused(
    workers: Workers, client: Client
) -> None:
    workers.start("default")
    zombie = workers.start("coordinator", slots=2)
    run = client.submit("slow_branches", "held")
    [first] = workers.noted("held")
    workers.serving(workers.start("coordinator", slots=2))
    freeze_until_given_back(workers, zombie, run)
    second = workers.noted("held", 2)[1]
    zombie.thaw()
    workers.open_gate("held")
    finish_all(workers.database, [run])
    with workers.database.connect() as conn:
        steps = dict(conn.execute("SELECT name, output FROM lmx.checkpoints").fetchall())
        children = conn.execute("SELECT key FROM lmx.tasks WHERE parent_id = %s", [run]).fetchall()
    assert steps["held"] == second["token"] != first["token"]
    assert len(workers.notes("before")) == 1, "a recorded step is not repeated"
    assert children == [("after",)]
    assert_nothing_left(workers.database)


def test_leases_that_a_frozen_worker_had_not_begun_are_not_recorded_as_done(
    workers: Workers, client: Client
) -> None:
    """What it held beside the running task must run elsewhere, not end without having run."""
    zombie = workers.start("default", slots=1)
    blocker = client.enqueue("gated", args=["one"])
    workers.noted("gated")
    ids = client.enqueue_many("leaf", [{"args": [n], "kwargs": {}} for n in range(20)])
    zombie.freeze()
    workers.serving(workers.start("default", slots=4))
    workers.open_gate("one")
    outputs = finish_all(workers.database, [blocker, *ids])
    zombie.thaw()
    tokens = {note["token"] for note in workers.notes()}
    assert set(outputs.values()) <= tokens
    assert_nothing_left(workers.database)


def _late_spawn(lease: Lease) -> Operation:
    return spawning(lease, "late", budget={"usd": 5})


LATE: dict[str, Callable[[Lease], Operation]] = {
    "checkpoint": lambda m: Operation(
        "checkpoint", m.task_id, m.seq, {"name": "late", "output": 1}
    ),
    "memory": lambda m: Operation(
        "memory", m.task_id, m.seq, {"key": "late", "value": 1, "gone": False}
    ),
    "spawn": _late_spawn,
    "park": lambda m: Operation("park", m.task_id, m.seq, {"wake_at": 4e9}),
    "finish": lambda m: finishing(m, "late", costs={"usd": 7}),
    "retry": lambda m: Operation("retry", m.task_id, m.seq, {"delay": 0}, costs={"usd": 7}),
    "requeue": lambda m: Operation("requeue", m.task_id, m.seq, {"lost": False}),
}


@pytest.mark.parametrize("claimed_again", [False, True])
@pytest.mark.parametrize("kind", LATE)
def test_every_write_under_a_lost_lease_changes_nothing(
    hands: Hands, kind: str, claimed_again: bool
) -> None:
    """Whether the task waits to be claimed again or somebody else has it already."""
    run = hands.submit(budgets={"usd": 100}, reserve={"usd": 10})
    lost = hands.mind()
    hands.conn.execute("UPDATE lmx.workers SET expires_at = now() - interval '1 s'")
    assert sweep(hands.conn).requeued == 1
    if claimed_again:
        other = Hands(hands.database, "other")
        other.mind()
        other.close()
    before = everything(hands)
    (applied,) = hands.apply(LATE[kind](lost))
    assert not applied.accepted
    assert everything(hands) == before
    assert before["lmx.tasks"][0][0] == run


def everything(hands: Hands) -> dict[str, list[tuple[object, ...]]]:
    """All rows that operations write."""
    tables = ["tasks", "checkpoints", "memory", "budgets", "holds", "charges", "events"]
    return {
        name: hands.conn.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
        for name in (f"lmx.{table}" for table in tables)
    }


def test_the_token_of_a_task_is_never_used_twice(hands: Hands) -> None:
    hands.submit()
    tokens = []
    for _ in itertools.repeat(None, 4):
        lease = hands.mind()
        tokens.append(lease.token)
        hands.apply(Operation("requeue", lease.task_id, lease.seq, {"lost": False}))
    assert len(set(tokens)) == 4


def test_a_worker_that_was_declared_dead_gets_no_more_tasks(hands: Hands) -> None:
    hands.submit()
    hands.conn.execute("UPDATE lmx.workers SET stopped_at = now()")
    assert hands.claim(COORDINATORS) == []
