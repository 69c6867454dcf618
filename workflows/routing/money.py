"""The budgets of a call that moves to another model: it holds what it can cost there.

A child that was given exactly its worst case keeps being so: what is missing comes out of its
parent's budgets, and what is too much goes back. Any other budget stays what it is. The caller has
locked the rows of the parent and the call.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from lmx.workflows.allowances.words import amount_text
from lmx.workflows.errors import BudgetExceeded
from lmx.workflows.generation import PlannedCall

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class _Budget:
    """A row of lmx.budgets; `used` is all that is spent, held or granted."""

    ceiling: int
    used: int
    reserve: int


def hold_instead(conn: Connection, task_id: int, parent: int | None, call: PlannedCall) -> bool:
    """Let the task hold what `call` can cost; returns whether it has a budget now.

    Raises BudgetExceeded if there is not enough of a unit; the caller's savepoint undoes the rest.
    """
    own, above = _budgets(conn, task_id), _budgets(conn, parent)
    exact = parent is not None and all(b.ceiling == b.reserve and not b.used for b in own.values())
    units = {*own, *(above if exact else ())}
    for unit in sorted(units):
        known = own.get(unit, _Budget(0, 0, 0))
        worst, ceiling = call.most.get(unit, 0), known.ceiling
        if not worst and unit not in own:
            continue
        if exact and unit in above:
            _grant(conn, parent, unit, worst - ceiling, above[unit])
            ceiling = worst
        if known.used + worst > ceiling:
            raise BudgetExceeded(_too_dear(unit, worst, ceiling - known.used))
        conn.execute(
            "INSERT INTO lmx.budgets (task_id, unit, ceiling, reserve, lost)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (task_id, unit) DO UPDATE"
            " SET ceiling = excluded.ceiling, reserve = excluded.reserve, lost = excluded.lost",
            [task_id, unit, ceiling, worst, call.terms().lost],
        )
    return bool(units)


def _budgets(conn: Connection, task_id: int | None) -> Mapping[str, _Budget]:
    rows = conn.execute(
        "SELECT unit, ceiling, spent + held + granted, reserve FROM lmx.budgets WHERE task_id = %s",
        [task_id],
    )
    return {unit: _Budget(*amounts) for unit, *amounts in rows}


def _grant(conn: Connection, parent: int | None, unit: str, amount: int, budget: _Budget) -> None:
    """Move `amount`, or give it back, between the parent's budget and its child's."""
    if amount > budget.ceiling - budget.used:
        raise BudgetExceeded(_too_dear(unit, amount, budget.ceiling - budget.used))
    conn.execute(
        "UPDATE lmx.budgets SET granted = granted + %s WHERE task_id = %s AND unit = %s",
        [amount, parent, unit],
    )


def _too_dear(unit: str, amount: int, left: int) -> str:
    return f"it can cost {amount_text(unit, amount)}, and {amount_text(unit, left)} is left"
