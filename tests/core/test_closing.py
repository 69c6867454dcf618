"""When budgets close, and in which order."""

import random
from collections.abc import Iterator

import pytest

from lmx.workflows.closing import closing_rounds
from lmx.workflows.database.connect import Database
from lmx.workflows.views import check_budgets, get_task
from tests.support.hands import Hands, finishing


@pytest.fixture
def hands(database: Database) -> Iterator[Hands]:
    worker = Hands(database)
    yield worker
    worker.close()
    assert check_budgets(database) == []


def test_children_close_before_their_parents_and_waiting_parents_last() -> None:
    pairs = [(1, None), (2, 1), (3, 2), (4, 2), (7, 6)]
    random.shuffle(pairs)

    rounds = closing_rounds(pairs)

    assert [sorted(ids) for ids in rounds] == [[3, 4, 7], [2], [1], [6]]


def test_nothing_to_close_is_no_round() -> None:
    assert closing_rounds([]) == []


def test_a_coordinator_and_its_child_that_finish_in_one_commit_both_close(
    database: Database, hands: Hands
) -> None:
    run = hands.submit(budgets={"usd": 100})
    root = hands.mind()
    (child,) = hands.spawn(root, "child", budget={"usd": 40}, reserve={"usd": 30})

    hands.apply(finishing(root), finishing(hands.take(), costs={"usd": 20}))

    for task in (run, child):
        (budget,) = get_task(database, task).budgets
        assert (budget.spent, budget.granted, budget.closed) == (20, 0, True)


def test_a_coordinator_that_ends_first_keeps_its_budget_open_for_its_children(
    database: Database, hands: Hands
) -> None:
    run = hands.submit(nesting=1, budgets={"usd": 100})
    root = hands.mind()
    (branch,) = hands.spawn(root, "branch", role="coordinator", budget={"usd": 60})
    minder = hands.mind()
    hands.spawn(minder, "call", budget={"usd": 40}, reserve={"usd": 30})
    call = hands.take()

    hands.fail(minder)
    (open_,) = get_task(database, branch).budgets
    assert (open_.granted, open_.closed) == (40, False)

    hands.finish(call, costs={"usd": 25})
    (shut,) = get_task(database, branch).budgets
    assert (shut.spent, shut.closed) == (25, True)
    (above,) = get_task(database, run).budgets
    assert (above.spent, above.granted) == (25, 0)


def test_a_budget_with_a_hold_does_not_close(database: Database, hands: Hands) -> None:
    task = hands.submit(role="worker", budgets={"usd": 100}, reserve={"usd": 30})
    hands.finish(hands.take())

    (budget,) = get_task(database, task).budgets
    assert (budget.held, budget.closed) == (30, False)
