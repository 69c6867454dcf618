"""The audit of budgets finds what does not add up."""

import pytest

from lmx.workflows.database.connect import Database
from lmx.workflows.views import check_budgets
from tests.support.hands import Hands


@pytest.fixture
def run(hands: Hands) -> int:
    """A run that has spent 20, holds 30 and has granted 90 of its 200."""
    run = hands.submit(budgets={"usd": 200})
    root = hands.mind()
    hands.spawn(root, "done", "running", "open", budget={"usd": 45}, reserve={"usd": 30})
    hands.finish(hands.take(), costs={"usd": 20})
    hands.take()
    return run


def test_exact_sums_are_no_finding(database: Database, run: int) -> None:
    assert check_budgets(database) == []
    assert check_budgets(database, run) == []


@pytest.mark.parametrize(("column", "amount"), [("spent", 25), ("held", 3), ("granted", 91)])
def test_a_wrong_sum_is_found(
    database: Database, hands: Hands, run: int, column: str, amount: int
) -> None:
    hands.conn.execute(f"UPDATE lmx.budgets SET {column} = %s WHERE task_id = %s", [amount, run])

    for found in (check_budgets(database), check_budgets(database, run)):
        assert [(f.task_id, f.column, f.actual) for f in found] == [(run, column, amount)]


def test_a_charge_without_its_budget_is_found(database: Database, hands: Hands, run: int) -> None:
    hands.conn.execute(
        "INSERT INTO lmx.charges (run_id, task_id, lease_seq, unit, amount, reason)"
        " VALUES (%s, %s, 1, 'usd', 7, 'settled')",
        [run, run],
    )

    assert [str(found) for found in check_budgets(database)] == [
        f"the usd budget of task {run} says spent = 20, but its rows add up to 27"
    ]


def test_other_runs_are_not_looked_at_when_one_is_named(
    database: Database, hands: Hands, run: int
) -> None:
    lone = hands.submit(role="worker", budgets={"usd": 5})
    hands.conn.execute("UPDATE lmx.budgets SET spent = 1 WHERE task_id = %s", [lone])

    assert check_budgets(database, run) == []
    assert [found.task_id for found in check_budgets(database)] == [lone]
