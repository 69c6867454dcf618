"""Putting dead letters and failed runs back to work."""

import pytest

from lmx.workflows.control import cancel, resume_failed_run, retry
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import BudgetExceeded, Conflict, NotFound, Refused
from lmx.workflows.views import get_task, run_events
from tests.support.hands import Hands


def test_a_dead_letter_runs_again_with_all_of_its_attempts(
    database: Database, hands: Hands
) -> None:
    task = hands.submit(role="worker", max_attempts=2)
    hands.fail(hands.take())

    assert retry(database, task) == 1

    seen = get_task(database, task)
    assert (seen.state, seen.attempts, seen.error, seen.finished_at) == ("ready", 0, None, None)
    assert hands.finish(hands.take(), "well")


def test_a_cancelled_task_can_be_put_back(database: Database, hands: Hands) -> None:
    task = hands.submit(role="worker")
    cancel(database, task)

    retry(database, task)

    assert hands.take().task_id == task


def test_what_has_not_failed_is_not_put_back(database: Database, hands: Hands) -> None:
    task = hands.submit(role="worker")
    with pytest.raises(Conflict, match=f"task {task} has not failed: it is ready"):
        retry(database, task)
    hands.finish(hands.take())
    with pytest.raises(Conflict, match=f"task {task} has succeeded"):
        retry(database, task)
    with pytest.raises(NotFound):
        retry(database, 99)


def test_a_failed_child_runs_again_for_its_waiting_coordinator(
    database: Database, hands: Hands
) -> None:
    run, (bad, good) = hands.run_to_parked("bad", "good", budgets={"usd": 100}, budget={"usd": 50})
    hands.fail(hands.take())

    retry(database, bad)

    assert get_task(database, run).budgets[0].granted == 100
    for _ in range(2):
        hands.finish(hands.take())
    assert hands.states(run, bad, good) == ["ready", "succeeded", "succeeded"]


def test_a_child_of_a_failed_coordinator_is_put_back_with_its_run(
    database: Database, hands: Hands
) -> None:
    run = hands.submit()
    root = hands.mind()
    (child,) = hands.spawn(root, "child")
    hands.fail(hands.take())
    hands.fail(root)

    with pytest.raises(Refused, match=f"lmx resume {run}"):
        retry(database, child)


def test_a_failed_run_goes_on_with_what_it_had(database: Database, hands: Hands) -> None:
    run = hands.submit(budgets={"usd": 100})
    root = hands.mind()
    hands.checkpoint(root, "plan", "a plan")
    good, bad = hands.spawn(root, "good", "bad", budget={"usd": 40}, reserve={"usd": 30})
    hands.finish(hands.take(), "kept", costs={"usd": 25})
    hands.finish(hands.take(), error={"message": "broke"}, costs={"usd": 10})
    hands.finish(root, error={"message": "child broke"})
    assert get_task(database, run).budgets[0].closed

    assert resume_failed_run(database, run) == 2

    assert hands.states(run, good, bad) == ["ready", "succeeded", "ready"]
    (budget,) = get_task(database, run).budgets
    assert (budget.spent, budget.granted, budget.closed) == (25, 40, False)
    assert hands.value("SELECT output FROM lmx.checkpoints WHERE task_id = %s", run) == "a plan"
    hands.finish(hands.take(), costs={"usd": 20})
    hands.finish(hands.mind())
    assert get_task(database, run).budgets[0].spent == 25 + 10 + 20


def test_everything_that_was_cancelled_with_a_run_comes_back_with_it(
    database: Database, hands: Hands
) -> None:
    run = hands.submit(nesting=1, budgets={"usd": 100})
    root = hands.mind()
    (branch,) = hands.spawn(root, "branch", role="coordinator", budget={"usd": 80})
    hands.park(root)
    minder = hands.mind()
    twigs = hands.spawn(minder, "a", "b", budget={"usd": 30}, reserve={"usd": 10})
    hands.take()
    cancel(database, run)

    assert resume_failed_run(database, run) == 4

    assert hands.states(run, branch, *twigs) == ["ready"] * 4


def test_a_run_that_has_not_failed_is_not_resumed(database: Database, hands: Hands) -> None:
    run, (child,) = hands.run_to_parked("child")
    with pytest.raises(Conflict, match=f"run {run} has not failed: it is parked"):
        resume_failed_run(database, run)
    with pytest.raises(Refused, match=f"part of run {run}"):
        resume_failed_run(database, child)


def test_a_retry_that_the_budget_above_can_no_longer_pay_is_refused(
    database: Database, hands: Hands
) -> None:
    run = hands.submit(budgets={"usd": 100})
    root = hands.mind()
    (first,) = hands.spawn(root, "first", budget={"usd": 80})
    hands.fail(hands.take())
    hands.spawn(root, "second", budget={"usd": 90})

    with pytest.raises(BudgetExceeded, match="the budget above has not enough left"):
        retry(database, first)

    assert hands.states(run, first) == ["leased", "failed"]


def test_a_task_put_back_gets_its_time_again(database: Database, hands: Hands) -> None:
    task = hands.submit(role="worker", timeout=3600)
    hands.fail(hands.take())
    hands.conn.execute(
        "UPDATE lmx.tasks SET created_at = created_at - interval '2 hours',"
        " deadline = deadline - interval '2 hours' WHERE id = %s",
        [task],
    )

    retry(database, task)

    left = "SELECT extract(epoch FROM deadline - now())::float8 FROM lmx.tasks WHERE id = %s"
    assert 3500 < hands.value(left, task) <= 3600


def test_being_put_back_is_told_in_the_runs_events(database: Database, hands: Hands) -> None:
    run = hands.submit(role="worker")
    hands.fail(hands.take())
    retry(database, run)
    hands.fail(hands.take())
    resume_failed_run(database, run)
    hands.finish(hands.take())

    kinds = [event.kind for event in run_events(database, run)]
    assert [kind for kind in kinds if kind in ("retried", "resumed")] == ["retried", "resumed"]
