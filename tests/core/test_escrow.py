"""Budgets of a run in work: ceilings moved to children, refusals recorded, the rest returned."""

from typing import Any

import pytest

from lmx.workflows.client import Client
from lmx.workflows.coordinators import Context
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import BudgetExceeded, TaskFailed
from lmx.workflows.registry import coordinator, worker
from lmx.workflows.views import get_task, get_tree
from tests.support import pretend_model
from tests.support.eventually import eventually
from tests.support.exact import assert_nothing_left
from tests.support.flows import MODEL, note, wait_for_gate
from tests.support.pretend_model import COST
from tests.support.workers import Workers


@worker
def free() -> str:
    """Cost nothing."""
    return note("free")


@worker
def unhurried() -> str:
    """Cost nothing, and end when the test lets it."""
    wait_for_gate("patient")
    return "done"


@coordinator
def generous(ctx: Context, ceilings: list[int]) -> list[Any]:
    """Give each child a budget; tell which the own budget refused, before and after a replay."""
    children = [ctx.spawn(unhurried, budget={"usd": ceiling}) for ceiling in ceilings]
    found = ctx.gather(*children, return_exceptions=True)
    told = ["refused" if isinstance(one, BudgetExceeded) else "done" for one in found]
    return [ctx.step("told", list, told), told]


def test_what_the_budget_cannot_give_is_refused_in_every_replay(
    served: Workers, client: Client, database: Database
) -> None:
    run = client.submit("generous", [60, 50, 40], budget={"usd": 100})
    # A child that ended before the next is spawned would give its ceiling back in time for it.
    eventually(lambda: len(get_tree(database, run)) == 3, "the last child")
    served.open_gate("patient")
    told, again = client.result(run, 20)
    assert told == again == ["done", "refused", "done"]
    assert len(get_tree(database, run)) == 3
    assert_nothing_left(database)


def test_a_run_without_a_budget_cannot_give_any(served: Workers, client: Client) -> None:
    served.open_gate("patient")
    run = client.submit("generous", [10])
    assert client.wait(run, 20).state in ("failed", "succeeded")
    assert_nothing_left(served.database)


@coordinator
def careful(ctx: Context, ceiling: int, times: int) -> int:
    """Spend a ceiling again and again: what a child does not spend comes back."""
    for _ in range(times):
        ctx.gather(ctx.spawn(free, budget={"usd": ceiling}))
    return times


def test_what_a_child_does_not_spend_returns_to_its_parent(
    served: Workers, client: Client, database: Database
) -> None:
    run = client.submit("careful", 100, 4, budget={"usd": 100})
    assert client.result(run, 20) == 4
    (budget,) = get_task(database, run).budgets
    assert (budget.spent, budget.left, budget.closed) == (0, 100, True)


@coordinator
def calls(ctx: Context, count: int) -> list[str]:
    """Call the model, each call under its worst case."""
    asked = [ctx.generate(model=MODEL, prompt="Hello", max_tokens=8) for _ in range(count)]
    return [answer["text"] for answer in ctx.gather(*asked)]


def test_model_calls_are_charged_with_what_they_cost(
    served: Workers, client: Client, database: Database
) -> None:
    pretend_model.register(database)
    served.start("gpu")
    run = client.submit("calls", 5, budget={"usd": 1_000_000})
    assert len(client.result(run, 20)) == 5
    (budget,) = get_task(database, run).budgets
    assert budget.spent == 5 * COST
    assert_nothing_left(database)


def test_a_budget_below_the_worst_case_of_one_call_refuses_it(
    served: Workers, client: Client, database: Database
) -> None:
    pretend_model.register(database)
    served.start("gpu")
    run = client.submit("calls", 1, budget={"usd": COST})
    with pytest.raises(TaskFailed, match="the budget has not enough left for the child 'generate'"):
        client.result(run, 20)
    assert served.notes("call") == []
    assert_nothing_left(database)


def test_a_task_holds_what_it_reserved_in_every_unit_and_gives_back_what_it_did_not_use(
    served: Workers, client: Client, database: Database
) -> None:
    task = client.enqueue("free", budget={"usd": 9, "calls": 2}, reserve={"usd": 5, "calls": 1})
    client.result(task, 20)
    assert {b.unit: (b.spent, b.held) for b in get_task(database, task).budgets} == {
        "usd": (0, 0),
        "calls": (1, 0),
    }
    assert_nothing_left(database)


def test_what_cannot_afford_one_attempt_fails_without_being_run_or_charged(
    served: Workers, client: Client, database: Database
) -> None:
    task = client.enqueue("free", budget={"usd": 9, "calls": 0}, reserve={"usd": 5, "calls": 1})
    view = client.wait(task, 20)
    assert view.state == "failed"
    assert view.error is not None and view.error["kind"] == "budget"
    assert served.notes("free") == []
    assert {budget.unit: budget.spent for budget in view.budgets} == {"usd": 0, "calls": 0}
    assert_nothing_left(database)
