"""A cancelled call of a batch is paid as its provider bills it, and no more."""

from lmx.workflows.budgets import check_budgets
from lmx.workflows.control import cancel, retry
from lmx.workflows.views import get_task
from tests.support.batches import StartLane
from tests.support.rehearsed import Rehearsed

USD = 1_000_000_000


def test_a_cancelled_call_is_paid_when_its_batch_ends(
    start: StartLane, rehearsed: Rehearsed
) -> None:
    rehearsed.pace_batches(seconds=3600)
    lane = start()
    kept, given_up = (lane.ask(budget={"usd": USD}) for _ in range(2))
    lane.round()
    cancel(lane.database, given_up)
    lane.round()
    assert lane.batches()[0].state == "processing"  # somebody waits for the other one
    assert [b.held > 0 for b in get_task(lane.database, given_up).budgets] == [True]
    assert check_budgets(lane.database) == []
    rehearsed.pace_batches(seconds=0)
    lane.round()
    assert get_task(lane.database, kept).state == "succeeded"
    ended = get_task(lane.database, given_up)
    assert (ended.state, ended.output) == ("cancelled", None)
    (budget,) = ended.budgets
    assert (budget.held, budget.closed) == (0, True)
    assert 0 < budget.spent < 100_000
    assert lane.row("SELECT reason FROM lmx.charges WHERE task_id = %s", given_up) == ("settled",)
    assert lane.batches()[0].late == 1
    assert check_budgets(lane.database) == []


def test_a_batch_that_nobody_waits_for_is_cancelled_and_costs_what_was_done(
    start: StartLane, rehearsed: Rehearsed
) -> None:
    rehearsed.pace_batches(seconds=3600)
    lane = start()
    tasks = [lane.ask(budget={"usd": USD}) for _ in range(2)]
    lane.round()
    for task in tasks:
        cancel(lane.database, task)
    lane.round()
    assert lane.batches()[0].state == "cancelling"
    lane.round()
    assert lane.batches()[0].state == "ended"
    for task in tasks:
        (budget,) = get_task(lane.database, task).budgets
        assert (budget.spent, budget.held, budget.closed) == (0, 0, True)
    assert check_budgets(lane.database) == []


def test_a_call_that_waits_for_a_batch_is_cancelled_like_any_other(start: StartLane) -> None:
    lane = start(wait_s=3600.0, enough=3)
    task = lane.ask(budget={"usd": USD})
    lane.round()
    cancel(lane.database, task)
    lane.round()
    assert lane.batches() == []
    assert [(b.spent, b.held) for b in get_task(lane.database, task).budgets] == [(0, 0)]


def test_a_call_that_is_retried_while_its_old_batch_runs_pays_for_both(
    start: StartLane, rehearsed: Rehearsed
) -> None:
    rehearsed.pace_batches(seconds=3600)
    lane = start()
    task = lane.ask(budget={"usd": USD})
    lane.round()
    cancel(lane.database, task)
    retry(lane.database, task)
    lane.round()
    rehearsed.pace_batches(seconds=0)
    lane.round(2)
    view = get_task(lane.database, task)
    assert view.state == "succeeded"
    reasons = "SELECT array_agg(reason ORDER BY id) FROM lmx.charges"
    assert lane.row(reasons) == (["unknown", "settled"],)
    assert check_budgets(lane.database) == []
