"""The budget of a call that moves to another model: it holds what it can cost there.

A child that was given exactly its worst case keeps being so: what is missing comes out of its
parent's budget, and what is too much goes back. Any other budget stays what it is. The caller has
locked the rows of the parent and the call.
"""

from typing import Any

import psycopg

from lmx.workflows.errors import BudgetExceeded
from lmx.workflows.generation import PlannedCall
from lmx.workflows.money import USD, format_usd

Connection = psycopg.Connection[Any]


def hold_instead(conn: Connection, task_id: int, parent: int | None, call: PlannedCall) -> bool:
    """Let the task hold what `call` can cost; returns whether it has a budget in dollars now.

    Raises BudgetExceeded if there is not enough, and has then changed nothing.
    """
    worst, lost = call.worst_case, call.terms(budgeted=True).lost
    own = conn.execute(
        "SELECT ceiling, spent + held + granted, reserve FROM lmx.budgets"
        " WHERE task_id = %s AND unit = %s",
        [task_id, USD],
    ).fetchone()
    if own is None:
        if not worst or not _grant(conn, parent, worst):
            return False
        conn.execute(
            "INSERT INTO lmx.budgets (task_id, unit, ceiling, reserve, lost)"
            " VALUES (%s, %s, %s, %s, %s)",
            [task_id, USD, worst, worst, lost],
        )
        return True
    ceiling, used, reserve = own
    exact = parent is not None and ceiling == reserve and not used
    if exact and worst != ceiling and _grant(conn, parent, worst - ceiling):
        ceiling = worst
    if used + worst > ceiling:
        raise BudgetExceeded(
            f"it can cost {format_usd(worst)}, more than the {format_usd(ceiling - used)} left"
        )
    conn.execute(
        "UPDATE lmx.budgets SET ceiling = %s, reserve = %s, lost = %s"
        " WHERE task_id = %s AND unit = %s",
        [ceiling, worst, lost, task_id, USD],
    )
    return True


def _grant(conn: Connection, parent: int | None, amount: int) -> bool:
    """Move `amount` out of the parent's budget; False if the parent has no budget in dollars.

    Raises BudgetExceeded if it has not as much left.
    """
    row = conn.execute(
        "SELECT ceiling - spent - held - granted FROM lmx.budgets WHERE task_id = %s AND unit = %s",
        [parent, USD],
    ).fetchone()
    if row is None:
        return False
    if amount > row[0]:
        raise BudgetExceeded(
            f"it can cost {format_usd(amount)} more than planned, and {format_usd(row[0])} is left"
        )
    conn.execute(
        "UPDATE lmx.budgets SET granted = granted + %s WHERE task_id = %s AND unit = %s",
        [amount, parent, USD],
    )
    return True
