"""Cancelling runs and tasks."""

import threading

import pytest

from lmx.workflows.control import cancel
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import NotFound
from lmx.workflows.operations import apply
from lmx.workflows.views import get_task, run_events
from tests.support.hands import Hands, finishing, spawning, until_blocked_by


def test_a_run_is_cancelled_with_everything_beneath_it(database: Database, hands: Hands) -> None:
    run = hands.submit(nesting=1)
    root = hands.mind()
    (branch,) = hands.spawn(root, "branch", role="coordinator")
    (leaf,) = hands.spawn(root, "leaf", delay=60)
    hands.park(root)
    twigs = hands.spawn(hands.mind(), "running", "ready")
    hands.take()

    assert cancel(database, run) == 5

    assert set(hands.states(run, branch, leaf, *twigs)) == {"cancelled"}
    assert get_task(database, run).error == {"kind": "cancelled", "message": "it was cancelled"}


def test_what_has_finished_stays_as_it_is(database: Database, hands: Hands) -> None:
    run, (done, open_) = hands.run_to_parked("done", "open")
    lease = next(lease for lease in hands.claim(slots=2) if lease.task_id == done)
    hands.finish(lease, "result")

    assert cancel(database, run) == 2
    assert hands.states(run, done, open_) == ["cancelled", "succeeded", "cancelled"]
    assert cancel(database, run) == 0


def test_an_unknown_task_cannot_be_cancelled(database: Database) -> None:
    with pytest.raises(NotFound, match="there is no task 12"):
        cancel(database, 12)


def test_a_running_attempt_loses_its_lease(database: Database, hands: Hands) -> None:
    task = hands.submit(role="worker")
    lease = hands.take()

    cancel(database, task)

    assert not hands.finish(lease, "too late")
    assert hands.state(task) == "cancelled"


def test_workers_are_told_what_to_stop(database: Database, hands: Hands) -> None:
    run, children = hands.run_to_parked(*(f"c{n}" for n in range(800)))
    hands.claim(slots=700)
    hands.conn.execute('LISTEN "lmx:cancel"')

    cancel(database, run)

    payloads = [notice.payload for notice in hands.conn.notifies(timeout=5, stop_after=2)]
    assert max(map(len, payloads)) < 8000
    assert (
        sorted(int(text) for payload in payloads for text in payload.split(",")) == children[:700]
    )


def test_the_coordinator_that_waits_for_a_cancelled_child_is_woken(
    database: Database, hands: Hands
) -> None:
    run, (one, two) = hands.run_to_parked("one", "two")

    cancel(database, one)
    assert hands.state(run) == "parked"
    cancel(database, two)
    assert hands.state(run) == "ready"


def test_the_hold_of_a_running_paid_call_is_charged(database: Database, hands: Hands) -> None:
    run, (child,) = hands.run_to_parked(
        "call", budgets={"usd": 100}, budget={"usd": 60}, reserve={"usd": 50}
    )
    hands.take()

    cancel(database, child)

    (budget,) = get_task(database, run).budgets
    assert (budget.spent, budget.held, budget.granted) == (50, 0, 0)


def test_a_hold_that_bought_nothing_is_released(database: Database, hands: Hands) -> None:
    run, (child,) = hands.run_to_parked(
        "call", budgets={"usd": 100}, budget={"usd": 60}, reserve={"usd": 50}, lost="release"
    )
    hands.take()

    cancel(database, child)

    assert get_task(database, run).budgets[0].left == 100


def test_unspent_ceilings_return_through_every_level(database: Database, hands: Hands) -> None:
    run = hands.submit(nesting=1, budgets={"usd": 1000})
    root = hands.mind()
    (branch,) = hands.spawn(root, "branch", role="coordinator", budget={"usd": 600})
    hands.park(root)
    minder = hands.mind()
    hands.spawn(minder, "paid", budget={"usd": 300}, reserve={"usd": 200})
    hands.finish(hands.take(), costs={"usd": 120})
    hands.spawn(minder, "running", budget={"usd": 250}, reserve={"usd": 90})
    hands.take()

    cancel(database, branch)

    (budget,) = get_task(database, run).budgets
    assert (budget.spent, budget.granted) == (120 + 90, 0)
    assert hands.state(run) == "ready"


def test_a_failed_run_with_children_still_running_can_be_cancelled(
    database: Database, hands: Hands
) -> None:
    run = hands.submit(budgets={"usd": 100})
    root = hands.mind()
    (orphan,) = hands.spawn(root, "orphan", budget={"usd": 40}, reserve={"usd": 30})
    hands.take()
    hands.fail(root)
    assert [budget.closed for budget in get_task(database, run).budgets] == [False]

    assert cancel(database, run) == 1

    assert hands.states(run, orphan) == ["failed", "cancelled"]
    (budget,) = get_task(database, run).budgets
    assert (budget.spent, budget.granted, budget.closed) == (30, 0, True)


def test_a_cancel_is_told_once_in_the_runs_events(database: Database, hands: Hands) -> None:
    run, _ = hands.run_to_parked("a", "b")
    hands.take()
    cancel(database, run)

    told = [event.data for event in run_events(database, run) if event.kind == "cancelled"]
    assert told == [{"tasks": 3, "leased": 1}]


def test_a_finish_that_came_first_wins_over_a_cancel(database: Database, hands: Hands) -> None:
    run, (child,) = hands.run_to_parked("child")
    lease = hands.take()
    other = Hands(database, "other")
    counts: list[int] = []
    canceller = threading.Thread(target=lambda: counts.append(cancel(database, child)))
    with hands.conn.transaction():
        (applied,) = apply(hands.conn, [finishing(lease, "result")])
        canceller.start()
        until_blocked_by(hands, other)
    canceller.join()
    other.close()

    assert applied.accepted
    assert counts == [0]
    assert hands.states(run, child) == ["ready", "succeeded"]


def test_a_spawn_that_came_first_is_cancelled_too(database: Database, hands: Hands) -> None:
    run = hands.submit()
    root = hands.mind()
    other = Hands(database, "other")
    counts: list[int] = []
    canceller = threading.Thread(target=lambda: counts.append(cancel(database, run)))
    with hands.conn.transaction():
        (born,) = apply(hands.conn, [spawning(root, "late")])
        canceller.start()
        until_blocked_by(hands, other)
    canceller.join()
    other.close()

    assert counts == [2]
    assert born.row is not None
    assert hands.states(run, born.row[2]) == ["cancelled", "cancelled"]
