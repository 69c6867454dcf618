"""Several accounts of one provider: a call that names a model may be made with any of their keys.

A call is put into the pool that is free soonest when it is queued. What happens later (a key is
revoked, one account is served faster than another) is made good here: what waits where nothing may
start, or behind many others, goes to an account that is well. Calls that a route has placed are
moved by their rule alone.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from lmx.workflows.allowances.looking import clock, purse_of
from lmx.workflows.allowances.purse import Purse, amounts_of
from lmx.workflows.sql import statement

log = logging.getLogger("lmx.accounts")
#: Calls that wait for money which are looked at in one round.
MOST: Final = 64
Connection = psycopg.Connection[Any]

#: An advisory lock ("lmx\0ac"): one process at a time moves calls between accounts.
_LOCK: Final = 0x6C6D_7800_6163


@dataclass(frozen=True, slots=True)
class Twin:
    """A pool of a model `group` that several accounts have (`account` as `provider/name`). `good`:
    a worker serves it and its breaker is not open; `ready` calls wait in it."""

    id: int
    name: str
    account: str
    group: str
    good: bool
    ready: int


@dataclass(frozen=True, slots=True)
class Shift:
    """So many calls go from one pool to another."""

    here: Twin
    there: Twin
    calls: int


def shifts(twins: Sequence[Twin]) -> list[Shift]:
    """What should go elsewhere: all that waits where nothing may start, to where the fewest wait;
    half of the longest line, to an account that has nothing to do."""
    groups: dict[str, list[Twin]] = defaultdict(list)
    for twin in twins:
        groups[twin.group].append(twin)
    found = []
    for group in groups.values():
        good = sorted((one for one in group if one.good), key=lambda one: one.ready)
        if not good:
            continue
        stuck = [one for one in group if not one.good and one.ready]
        found += [Shift(one, good[0], one.ready) for one in stuck]
        if not stuck and good[0].ready == 0 and good[-1].ready > 1:
            found.append(Shift(good[-1], good[0], good[-1].ready // 2))
    return found


def even_out(conn: Connection) -> int:
    """Move calls that wait between the accounts of their model; returns how many.

    Costs a look at the pools if no model has several accounts.
    """
    moved = 0
    with conn.transaction():
        twins = [Twin(*row) for row in conn.execute(statement("twin_pools"), prepare=True)]
        if not twins or not _alone(conn):
            return 0
        purse = purse_of(conn, clock(conn))
        moved += _with_money(conn, twins, purse)
        for shift in shifts(twins):
            if not _payable(conn, shift, purse):
                continue
            count = change_account(conn, shift.here.id, shift.there.id, shift.calls)
            if count:
                log.info("%d calls go from %s to %s", count, shift.here.name, shift.there.name)
            moved += count
    return moved


def _payable(conn: Connection, shift: Shift, purse: Purse) -> bool:
    """Whether the other account may spend what the next of these calls can cost."""
    row = conn.execute(
        "SELECT c.costs FROM lmx.tasks t JOIN lmx.calls c ON c.task_id = t.id"
        " WHERE t.pool_id = %s AND t.state = 'ready' ORDER BY t.rank, t.id LIMIT 1",
        [shift.here.id],
    ).fetchone()
    return row is not None and purse.refusal(shift.there.account, amounts_of(row[0])) is None


def _with_money(conn: Connection, twins: Sequence[Twin], purse: Purse) -> int:
    """Give calls that wait until their account may spend again to one that may now."""
    rows = conn.execute(statement("deferred_twins"), {"most": MOST}, prepare=True).fetchall()
    moved = 0
    for task, group, costs in rows:
        amounts = amounts_of(costs)
        for twin in twins:
            if twin.group == group and twin.good and purse.refusal(twin.account, amounts) is None:
                purse.take(task, twin.account, amounts)
                moved += _resume(conn, task, twin)
                break
    return moved


def _resume(conn: Connection, task: int, there: Twin) -> int:
    """Let a locked call that waits for money go on in the pool of another account."""
    conn.execute(
        "UPDATE lmx.tasks SET state = 'ready', run_at = NULL WHERE id = %s AND state = 'scheduled'",
        [task],
    )
    conn.execute("UPDATE lmx.calls SET deferred = NULL WHERE task_id = %s", [task])
    row = conn.execute("SELECT pool_id FROM lmx.tasks WHERE id = %s", [task]).fetchone()
    if row is None or row[0] == there.id:
        return 0
    return change_account(conn, row[0], there.id, task=task)


def change_account(
    conn: Connection, here: int, there: int, most: int = 1, task: int | None = None
) -> int:
    """Put up to `most` calls that wait in a pool (or one `task`) into that of another account.

    Returns how many. Part of the caller's transaction.
    """
    asked = {"here": here, "there": there, "most": most, "task": task}
    row = conn.execute(statement("change_account"), asked, prepare=True).fetchone()
    return int(row[0]) if row else 0


def _alone(conn: Connection) -> bool:
    row = conn.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK]).fetchone()
    return bool(row and row[0])
