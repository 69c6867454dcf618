"""Writers that race for one lease, and writes that are repeated because their answer was lost."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from lmx.workflows.database.connect import Database
from lmx.workflows.operations import Operation, apply
from lmx.workflows.sweep import MAX_DELIVERIES, sweep
from lmx.workflows.views import check_budgets
from tests.support.hands import Hands, finishing, until_blocked_by


@pytest.fixture
def others(database: Database) -> Iterator[Hands]:
    """The worker that takes over."""
    hands = Hands(database, "others")
    yield hands
    hands.close()


def take_away(dead: Hands, by: Hands) -> int:
    """Let another worker declare one dead and give its tasks back; return how many."""
    query = "UPDATE lmx.workers SET stopped_at = now() WHERE id = %s"
    by.conn.execute(query, [dead.worker])
    return sweep(by.conn).requeued


def test_paid_tasks_that_end_while_they_are_taken_away_are_settled_once(
    hands: Hands, others: Hands
) -> None:
    """A late finish and the sweeper both settle the hold; only one of them may."""
    for _ in range(200):
        hands.submit(role="worker", budgets={"usd": 50}, reserve={"usd": 10})
    leases = hands.claim(slots=200)
    ready = threading.Barrier(2)

    def finish_all() -> int:
        ready.wait(20)
        return sum(hands.finish(lease, costs={"usd": 3}) for lease in leases)

    def lose_all() -> int:
        ready.wait(20)
        return take_away(hands, by=others)

    with ThreadPoolExecutor(2) as threads:
        sides = [threads.submit(finish_all), threads.submit(lose_all)]
    done, lost = [side.result() for side in sides]
    assert done + lost == 200
    assert check_budgets(hands.database) == []
    assert hands.value("SELECT count(*) FROM lmx.holds") == 0
    spent = "SELECT sum(amount) FROM lmx.charges"
    assert hands.value(spent) == 3 * done + 10 * lost


def test_a_result_that_a_zombie_recorded_first_is_what_its_successor_sees(
    hands: Hands, others: Hands
) -> None:
    """The zombie was frozen between its write and its commit, and commits when it wakes."""
    hands.submit()
    zombie = hands.mind()
    step = {"name": "step", "output": "the zombie's"}
    with ThreadPoolExecutor(1) as threads:
        with hands.conn.transaction():
            apply(hands.conn, [Operation("checkpoint", zombie.task_id, zombie.seq, step)])
            take_away(hands, by=others)
            successor = others.mind()
            mine = Operation(
                "checkpoint",
                successor.task_id,
                successor.seq,
                {"name": "step", "output": "the successor's"},
            )
            late = threads.submit(partial(others.apply, mine))
            watcher = Hands(hands.database, "watcher")
            until_blocked_by(hands, watcher)
            watcher.close()
        (applied,) = late.result()
    assert applied.accepted
    assert applied.row is not None and applied.row[1] is False, "told that another is recorded"
    assert hands.value("SELECT output FROM lmx.checkpoints") == "the zombie's"


def test_a_memory_write_repeated_after_a_lost_answer_undoes_nothing(hands: Hands) -> None:
    run = hands.submit()
    lease = hands.mind()
    write = [
        Operation("checkpoint", run, lease.seq, {"name": "set", "output": True}),
        Operation(
            "memory", run, lease.seq, {"key": "k", "value": 1, "gone": False, "record": "set"}
        ),
    ]
    hands.apply(*write)
    hands.conn.execute("UPDATE lmx.memory SET value = '2'")
    assert all(applied.accepted for applied in hands.apply(*write))
    assert hands.value("SELECT value FROM lmx.memory") == 2


def test_whatever_is_repeated_after_a_lost_answer_is_done_once(hands: Hands) -> None:
    run = hands.submit(budgets={"usd": 100}, reserve={"usd": 10})
    lease = hands.mind()
    finish = finishing(lease, "result", costs={"usd": 4})
    assert [hands.apply(finish)[0].accepted, hands.apply(finish)[0].accepted] == [True, False]
    assert hands.value("SELECT spent FROM lmx.budgets WHERE task_id = %s", run) == 4
    assert hands.value("SELECT count(*) FROM lmx.charges") == 1


def die(hands: Hands, record: str | None = None) -> None:
    """Let a worker claim the coordinator, record a step perhaps, and die."""
    worker = Hands(hands.database, "doomed")
    lease = worker.mind()
    if record is not None:
        worker.checkpoint(lease, record)
    take_away(worker, by=hands)
    worker.close()


def test_a_coordinator_that_gets_on_is_no_poison_however_often_its_worker_dies(
    hands: Hands,
) -> None:
    """Deliveries without progress are counted; a recorded step is progress."""
    run = hands.submit()
    for death in range(2 * MAX_DELIVERIES):
        die(hands, f"step {death}")
    assert hands.state(run) == "ready"


def test_a_coordinator_that_gets_on_no_more_is_poison(hands: Hands) -> None:
    run = hands.submit()
    die(hands, "only step")
    for _ in range(MAX_DELIVERIES):
        assert hands.state(run) == "ready"
        die(hands)
    assert hands.state(run) == "failed"


def test_tasks_of_workers_that_died_long_ago_are_given_back(hands: Hands) -> None:
    """Whoever declared them dead may have died before it gave their tasks back."""
    task = hands.submit(role="worker")
    hands.take()
    hands.conn.execute("UPDATE lmx.workers SET stopped_at = now() - interval '1 month'")
    assert sweep(hands.conn).requeued == 1
    assert hands.state(task) == "ready"
