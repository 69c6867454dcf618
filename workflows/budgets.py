"""Budgets as people read them, and the audit that their sums are exact.

The sums that must hold for every budget (of one task in one unit) at every commit:

    spent   = its own charges + what its closed child budgets spent
    held    = the holds of the running attempt
    granted = the ceilings of its open child budgets
    spent + held + granted <= ceiling; a closed budget holds and grants nothing

Of a run that was pruned one line for each unit is left, and all charges: they sum to it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Connection, any_, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from lmx.workflows.database.connect import Database
from lmx.workflows.database.tables import budgets
from lmx.workflows.errors import NotFound


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
class BudgetNode:
    """A task with its budgets. Of what they spent, `unknown` (by unit) was charged for attempts of
    the task itself at their hold, because nobody knows what became of them."""

    id: int
    parent_id: int | None
    name: str
    role: str
    state: str
    budgets: tuple[BudgetView, ...]
    unknown: dict[str, int]


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


_NODES: Final = text(
    "WITH RECURSIVE tree AS ("
    "  SELECT id, parent_id, coalesce(key, name) AS name, role, state"
    "  FROM lmx.tasks WHERE id = :run"
    "  UNION ALL"
    "  SELECT c.id, c.parent_id, coalesce(c.key, c.name), c.role, c.state"
    "  FROM tree JOIN lmx.tasks c ON c.parent_id = tree.id WHERE c.budgeted"
    ") SELECT id, parent_id, name, role::text, state::text, ("
    "  SELECT coalesce(jsonb_object_agg(unit, amount), '{}') FROM ("
    "    SELECT unit, sum(amount) AS amount FROM lmx.charges"
    "    WHERE task_id = tree.id AND reason = 'unknown' GROUP BY unit) u"
    ") FROM tree ORDER BY id"
)
_PRUNED: Final = text(
    "SELECT p.name, p.unit, p.ceiling, p.spent, (SELECT sum(c.amount)::bigint FROM lmx.charges c"
    "  WHERE c.run_id = p.run_id AND c.unit = p.unit AND c.reason = 'unknown')"
    " FROM lmx.pruned_budgets p WHERE p.run_id = :run ORDER BY p.unit"
)
#: So many runs at the most are shown together.
_MANY: Final = 50


def run_budgets(database: Database, run_id: int) -> list[BudgetNode]:
    """Return the budgets of a run, or of what is beneath any task, the top first.

    Of a pruned run there is one node, in the state `pruned`. Raises NotFound.
    """
    with database.engine.connect() as connection:
        rows = connection.execute(_NODES, {"run": run_id}).all()
        money = budgets_of(connection, [row[0] for row in rows])
        left = [] if rows else connection.execute(_PRUNED, {"run": run_id}).all()
    if left:
        views = tuple(BudgetView(row[1], row[2], row[3], 0, 0, True) for row in left)
        unknown = {row[1]: row[4] for row in left if row[4] is not None}
        return [BudgetNode(run_id, None, left[0][0], "run", "pruned", views, unknown)]
    if not rows:
        raise NotFound(f"there is no task {run_id}", hint="see the runs with: lmx runs")
    return [BudgetNode(*[*row[:5], money.get(row[0], ()), row[5]]) for row in rows]


def runs_with_budgets(database: Database) -> list[int]:
    """Return the latest runs that have a budget and have not finished, newest first."""
    query = text(
        "SELECT id FROM lmx.tasks WHERE parent_id IS NULL AND budgeted AND finished_at IS NULL"
        " ORDER BY id DESC LIMIT :many"
    )
    with database.engine.connect() as connection:
        return [row[0] for row in connection.execute(query, {"many": _MANY})]


# All amounts of a budget, its own and those behind it, are stacked and grouped once: joins would
# depend on estimates that a recursive tree does not allow.
_CHECK: Final = """
WITH RECURSIVE {mine}, amounts AS (
    SELECT task_id, unit, 1 AS rows, ceiling, spent, held, granted,
           CASE WHEN closed THEN held + granted ELSE 0 END AS left_over,
           0 AS charged, 0 AS reserved, 0 AS below_spent, 0 AS below_granted
    FROM mine
    UNION ALL
    SELECT task_id, unit, 0, 0, 0, 0, 0, 0, amount, 0, 0, 0 FROM lmx.charges c
    WHERE {of_run} AND NOT EXISTS (
        SELECT FROM lmx.pruned_budgets p WHERE p.run_id = c.run_id AND p.unit = c.unit)
    UNION ALL
    SELECT task_id, unit, 0, 0, 0, 0, 0, 0, 0, amount, 0, 0 FROM lmx.holds {of_tree}
    UNION ALL
    SELECT parent_id, unit, 0, 0, 0, 0, 0, 0, 0, 0,
           CASE WHEN closed THEN spent ELSE 0 END, CASE WHEN closed THEN 0 ELSE ceiling END
    FROM mine WHERE parent_id IS NOT NULL
), summed AS (
    SELECT task_id, unit, sum(rows) AS rows, sum(ceiling) AS ceiling, sum(spent) AS spent,
           sum(held) AS held, sum(granted) AS granted, sum(left_over) AS left_over,
           sum(charged) AS charged, sum(reserved) AS reserved,
           sum(below_spent) AS below_spent, sum(below_granted) AS below_granted
    FROM amounts GROUP BY task_id, unit
)
SELECT task_id, unit, v.name, v.expected::bigint, v.actual::bigint
FROM summed, LATERAL (VALUES
    ('spent', charged + rows * below_spent, spent),
    ('held', reserved, held),
    ('granted', rows * below_granted, granted),
    ('committed', least(ceiling, spent + held + granted), spent + held + granted),
    ('left after closing', 0, left_over)
) AS v(name, expected, actual)
WHERE v.expected <> v.actual
UNION ALL
SELECT c.run_id, c.unit, 'spent', coalesce(sum(b.amount), 0)::bigint, c.spent
FROM lmx.pruned_budgets c
LEFT JOIN lmx.charges b ON b.run_id = c.run_id AND b.unit = c.unit
WHERE {of_run}
GROUP BY c.run_id, c.unit, c.spent HAVING coalesce(sum(b.amount), 0) <> c.spent
ORDER BY 1, 2, 3
"""

_ALL: Final = _CHECK.format(
    mine="""mine AS (
    SELECT b.*, t.parent_id FROM lmx.budgets b JOIN lmx.tasks t ON t.id = b.task_id
)""",
    of_run="true",
    of_tree="",
)
_ONE_RUN: Final = _CHECK.format(
    mine="""tree AS (
    SELECT id, parent_id FROM lmx.tasks WHERE id = :run
    UNION ALL
    SELECT c.id, c.parent_id FROM tree JOIN lmx.tasks c ON c.parent_id = tree.id
), mine AS (
    SELECT b.*, tree.parent_id FROM tree JOIN lmx.budgets b ON b.task_id = tree.id
)""",
    of_run="c.run_id = :run",
    of_tree="WHERE task_id IN (SELECT id FROM tree)",
)


def check_budgets(database: Database, run_id: int | None = None) -> list[Discrepancy]:
    """Compare every budget (of one run, or all) with the charges, holds and children behind it.

    An empty list means that every sum is exact.
    """
    with database.engine.connect() as connection:
        query = text(_ALL) if run_id is None else text(_ONE_RUN).bindparams(run=run_id)
        rows = connection.execute(query)
        return [Discrepancy(*row) for row in rows]
