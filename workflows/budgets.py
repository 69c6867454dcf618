"""Budgets as people read them, and the audit that their sums are exact.

The sums that must hold for every budget (of one task in one unit) at every commit:

    spent   = its own charges + what its closed child budgets spent
    held    = the holds of the running attempt
    granted = the ceilings of its open child budgets
    spent + held + granted <= ceiling; a closed budget holds and grants nothing
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Connection, any_, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from lmx.workflows.database.connect import Database
from lmx.workflows.database.tables import budgets


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A budget's amounts, integers of its unit (`usd`: nano-dollars)."""

    unit: str
    ceiling: int
    spent: int
    held: int
    granted: int
    closed: bool = False

    @property
    def left(self) -> int:
        """What can still be held or granted."""
        return self.ceiling - self.spent - self.held - self.granted


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One budget whose `column` is not what the rows behind it add up to."""

    task_id: int
    unit: str
    column: str
    expected: int
    actual: int

    def __str__(self) -> str:
        return (
            f"the {self.unit} budget of task {self.task_id} says {self.column} = {self.actual},"
            f" but its rows add up to {self.expected}"
        )


def budgets_of(connection: Connection, ids: Iterable[int]) -> dict[int, tuple[BudgetView, ...]]:
    """Return the budgets of tasks, ordered by unit; tasks without any are left out."""
    query = (
        select(
            budgets.c.task_id,
            budgets.c.unit,
            budgets.c.ceiling,
            budgets.c.spent,
            budgets.c.held,
            budgets.c.granted,
            budgets.c.closed,
        )
        .where(budgets.c.task_id == any_(literal(list(ids), ARRAY(BigInteger))))
        .order_by(budgets.c.task_id, budgets.c.unit)
    )
    found: dict[int, tuple[BudgetView, ...]] = {}
    for task_id, *amounts in connection.execute(query):
        found[task_id] = (*found.get(task_id, ()), BudgetView(*amounts))
    return found


# One pass over the budgets concerned; each sum is grouped once, never looked up row by row.
_CHECK: Final = """
WITH RECURSIVE wanted AS (
    SELECT CAST(:run AS bigint) AS run
), tree AS (
    SELECT id FROM lmx.tasks WHERE id = (SELECT run FROM wanted)
    UNION ALL
    SELECT c.id FROM tree JOIN lmx.tasks c ON c.parent_id = tree.id
), mine AS (
    SELECT * FROM lmx.budgets
    WHERE (SELECT run FROM wanted) IS NULL OR task_id IN (SELECT id FROM tree)
), charged AS (
    SELECT task_id, unit, sum(amount) AS amount FROM lmx.charges
    WHERE (SELECT run FROM wanted) IS NULL OR run_id = (SELECT run FROM wanted)
    GROUP BY task_id, unit
), reserved AS (
    SELECT task_id, unit, sum(amount) AS amount FROM lmx.holds
    WHERE task_id IN (SELECT task_id FROM mine) GROUP BY task_id, unit
), below AS (
    SELECT t.parent_id AS task_id, b.unit,
           coalesce(sum(b.spent) FILTER (WHERE b.closed), 0) AS spent,
           coalesce(sum(b.ceiling) FILTER (WHERE NOT b.closed), 0) AS granted
    FROM mine b JOIN lmx.tasks t ON t.id = b.task_id
    WHERE t.parent_id IS NOT NULL GROUP BY t.parent_id, b.unit
), summed AS (
    SELECT m.*, coalesce(c.amount, 0) + coalesce(d.spent, 0) AS real_spent,
           coalesce(r.amount, 0) AS real_held, coalesce(d.granted, 0) AS real_granted
    FROM mine m
    LEFT JOIN charged c USING (task_id, unit)
    LEFT JOIN reserved r USING (task_id, unit)
    LEFT JOIN below d USING (task_id, unit)
)
SELECT task_id, unit, v.name, v.expected::bigint, v.actual
FROM summed s, LATERAL (VALUES
    ('spent', s.real_spent, s.spent),
    ('held', s.real_held, s.held),
    ('granted', s.real_granted, s.granted),
    ('committed', least(s.ceiling, s.spent + s.held + s.granted), s.spent + s.held + s.granted),
    ('left after closing', 0, CASE WHEN s.closed THEN s.held + s.granted ELSE 0 END)
) AS v(name, expected, actual)
WHERE v.expected <> v.actual
ORDER BY task_id, unit, v.name
"""


def check_budgets(database: Database, run_id: int | None = None) -> list[Discrepancy]:
    """Compare every budget (of one run, or all) with the charges, holds and children behind it.

    An empty list means that every sum is exact.
    """
    with database.engine.connect() as connection:
        rows = connection.execute(
            text(_CHECK.replace(":run", "CAST(:run AS bigint)")), {"run": run_id}
        )
        return [Discrepancy(*row) for row in rows]
