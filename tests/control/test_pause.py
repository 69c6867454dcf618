"""Pausing and resuming runs and queues."""

import threading
from collections.abc import Iterator

import pytest

from lmx.workflows.control import pause_queue, pause_run, resume_queue, resume_run
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import Conflict, NotFound, Refused
from lmx.workflows.operations import Operation, apply
from lmx.workflows.sql import statement
from lmx.workflows.views import get_run, get_task, list_queues
from tests.support.hands import COORDINATORS, QUEUE, Hands, spawning, until_blocked_by
from tests.support.plans import rows_read


@pytest.fixture
def other(database: Database) -> Iterator[Hands]:
    """A second worker with a connection of its own."""
    worker = Hands(database, "other")
    yield worker
    worker.close()


def _promote(hands: Hands) -> tuple[int, float | None]:
    row = hands.conn.execute(statement("promote")).fetchone()
    assert row is not None
    return row[0], row[1]


def test_no_task_of_a_paused_run_starts_and_others_do(database: Database, hands: Hands) -> None:
    run, children = hands.run_to_parked("a", "b")
    lone = hands.submit(role="worker")

    assert pause_run(database, run)

    assert [lease.task_id for lease in hands.claim(slots=10)] == [lone]
    assert get_run(database, run).paused
    assert all(get_task(database, child).shelved for child in children)


def test_a_resumed_run_goes_on_in_its_old_order(database: Database, hands: Hands) -> None:
    run, children = hands.run_to_parked("a", "b", "c")
    pause_run(database, run)

    assert resume_run(database, run)

    assert [lease.task_id for lease in hands.claim(slots=10)] == children
    assert not get_run(database, run).paused


def test_pausing_and_resuming_twice_changes_nothing(database: Database, hands: Hands) -> None:
    run, _ = hands.run_to_parked("a")

    assert pause_run(database, run)
    assert not pause_run(database, run)
    assert resume_run(database, run)
    assert not resume_run(database, run)


def test_a_stand_alone_task_can_be_paused(database: Database, hands: Hands) -> None:
    task = hands.submit(role="worker")

    pause_run(database, task)
    assert hands.claim() == []
    resume_run(database, task)
    assert hands.take().task_id == task


def test_what_runs_already_finishes_and_what_it_spawns_waits(
    database: Database, hands: Hands
) -> None:
    run = hands.submit()
    root = hands.mind()
    pause_run(database, run)

    (child,) = hands.spawn(root, "child")
    hands.finish(root, "done")

    assert hands.state(run) == "succeeded"
    assert get_task(database, child).shelved
    assert hands.claim() == []


def test_delayed_tasks_of_a_paused_run_fall_due_without_starting(
    database: Database, hands: Hands
) -> None:
    run = hands.submit()
    root = hands.mind()
    (child,) = hands.spawn(root, "child", delay=3600)
    hands.park(root, wake_at=hands.value("SELECT extract(epoch FROM now())::float8 + 3600"))
    pause_run(database, run)
    hands.conn.execute("UPDATE lmx.tasks SET run_at = now() WHERE run_at < 'infinity'")

    _promote(hands)

    assert [get_task(database, task).shelved for task in (run, child)] == [True, True]
    assert _promote(hands) == (0, None)
    resume_run(database, run)
    assert hands.states(run, child) == ["ready", "ready"]


def test_the_time_in_which_a_run_was_paused_gives_it_no_lead(
    database: Database, hands: Hands
) -> None:
    paused, _ = hands.run_to_parked(*(f"p{n}" for n in range(5)))
    pause_run(database, paused)
    rival, _ = hands.run_to_parked(*(f"r{n}" for n in range(40)))
    hands.claim(slots=20)

    resume_run(database, paused)

    roots = [lease.root_id for lease in hands.claim(slots=10)]
    assert sorted(roots) == [paused] * 5 + [rival] * 5


def test_a_claim_costs_the_same_however_much_of_a_paused_run_waits(
    database: Database, hands: Hands
) -> None:
    run, _ = hands.run_to_parked(*(f"c{n}" for n in range(500)))
    lone = hands.submit(role="worker")
    pause_run(database, run)

    plan = hands.explain_claim()

    assert hands.state(lone) == "leased"
    assert rows_read(plan, "tasks_ready") == 1


def test_a_spawn_that_commits_during_the_pause_is_shelved_with_the_rest(
    database: Database, hands: Hands, other: Hands
) -> None:
    run = hands.submit()
    root = hands.mind()
    pauser = threading.Thread(target=pause_run, args=(database, run))
    with hands.conn.transaction():
        apply(hands.conn, [spawning(root, "a")])
        pauser.start()
        until_blocked_by(hands, other)
    pauser.join()

    assert hands.claim() == []
    resume_run(database, run)
    assert hands.take().key == "a"


def test_a_promotion_that_commits_during_the_resume_is_not_left_behind(
    database: Database, hands: Hands, other: Hands
) -> None:
    run = hands.submit()
    root = hands.mind()
    (child,) = hands.spawn(root, "child", delay=0.0)
    pause_run(database, run)
    resumer = threading.Thread(target=resume_run, args=(database, run))
    with hands.conn.transaction():
        _promote(hands)
        resumer.start()
        until_blocked_by(hands, other)
    resumer.join()

    assert hands.take().task_id == child


def test_resuming_tells_the_workers(database: Database, hands: Hands) -> None:
    run, _ = hands.run_to_parked("a")
    pause_run(database, run)
    hands.conn.execute(f'LISTEN "lmx:{QUEUE}"')

    resume_run(database, run)

    assert [n.channel for n in hands.conn.notifies(timeout=5, stop_after=1)] == [f"lmx:{QUEUE}"]


def test_only_unfinished_runs_can_be_paused(database: Database, hands: Hands) -> None:
    run, (child,) = hands.run_to_parked("child")
    done = hands.submit(role="worker")
    hands.apply(Operation("requeue", child, hands.take().seq, {"lost": False}))
    while (lease := hands.take()).task_id != done:
        pass
    hands.finish(lease)

    with pytest.raises(NotFound):
        pause_run(database, 99)
    with pytest.raises(Refused, match=f"task {child} is part of run {run}"):
        pause_run(database, child)
    with pytest.raises(Conflict, match=f"run {done} has finished"):
        pause_run(database, done)


def test_a_paused_queue_hands_nothing_out(database: Database, hands: Hands) -> None:
    task = hands.submit(role="worker")

    assert pause_queue(database, QUEUE)
    assert not pause_queue(database, QUEUE)
    assert hands.claim() == []
    assert {queue.name: queue.paused for queue in list_queues(database)} == {
        QUEUE: True,
        COORDINATORS: False,
    }
    assert resume_queue(database, QUEUE)
    assert hands.take().task_id == task


def test_an_unknown_queue_cannot_be_paused(database: Database) -> None:
    with pytest.raises(NotFound, match="there is no queue 'nowhere'"):
        pause_queue(database, "nowhere")
