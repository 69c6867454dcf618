"""Allowances within the claim of calls: their periods are locked, read, and held from."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

import psycopg

from lmx.workflows.allowances.purse import Period, Purse
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement

_ENDED: Final = """
SELECT p.id FROM lmx.allowance_periods p
WHERE p.ends_at < %s AND EXISTS (
    SELECT FROM lmx.allowance_holds h WHERE h.period_id = p.id AND h.cost IS NOT NULL)
ORDER BY p.allowance_id, p.id
FOR NO KEY UPDATE OF p
"""


def lock_purse(conn: psycopg.Connection[Any], accounts: Collection[str]) -> Purse:
    """Lock the present periods of these accounts and of all calls, and read what they grant.

    Lock the pools first, and what they share: the periods are the last that a claim locks.
    """
    conn.execute(statement("open_periods"), prepare=True)
    locked = conn.execute(statement("lock_periods"), {"accounts": sorted(accounts)}, prepare=True)
    ids = [row[0] for row in locked.fetchall()]
    if not ids:
        return Purse([])
    rows = conn.execute(statement("fold_periods"), {"ids": ids}, prepare=True).fetchall()
    return Purse([Period(*row) for row in rows])


def hold(conn: psycopg.Connection[Any], purse: Purse, worker_id: int) -> None:
    """Hold what was taken out of the purse for calls that have just been leased to this worker."""
    given = {"holds": encode(purse.holds), "worker": worker_id}
    conn.execute(statement("hold_allowances"), given, prepare=True)


def fold_ended(conn: psycopg.Connection[Any], before: datetime) -> None:
    """Move what was settled of periods that ended before this from held to spent.

    Nobody claims from these any more, so no claim does it. Part of the caller's transaction.
    """
    locked = conn.execute(_ENDED, [before]).fetchall()
    conn.execute(statement("fold_periods"), {"ids": [row[0] for row in locked]})
