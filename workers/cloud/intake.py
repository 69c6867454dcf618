"""Claims calls of a provider as its pools allow: in one transaction lock, fold, admit, lease.

A pool that must wait says until when, and is left alone until then; the others go on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import uniform
from time import monotonic
from typing import Any, Final

import psycopg

from lmx.workers.cloud.turn import AHEAD_S, PoolRow, Turn, foremost
from lmx.workers.intake import Intake
from lmx.workflows.allowances.holding import hold, lock_purse
from lmx.workflows.lease import Lease
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement

#: Pools are not asked more often than this, in seconds.
_BREATH_S: Final = 0.005
#: A pool is asked again up to so much later than it could be: of several processes one is first,
#: and the others find that all is done.
_SPREAD_S: Final = AHEAD_S / 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where a claimed call goes: the pool by its name, and the model.

    The pool was charged for a time that was not before `charged` on this process's monotonic clock,
    and not after `starts`, when the call may be sent. `never` says why its pool can never let it
    start; such a call is claimed to fail.
    """

    pool: str
    model: str
    charged: float
    starts: float
    never: str | None = None


@dataclass(frozen=True, slots=True)
class _Moment:
    """The pools' clocks were read between these two times of this process's monotonic clock."""

    before: float
    after: float


class CloudIntake(Intake):
    """The intake of a provider's worker. `due_in` is told when a pool will let something start.

    `accounts` are those that it has keys of, by name; None: all that the queue has.
    """

    due_in: Callable[[float], None]

    def __init__(
        self,
        queue: str,
        prefetch: int,
        worker_id: Callable[[], int],
        accounts: Sequence[str] | None = None,
    ) -> None:
        super().__init__(queue, prefetch, worker_id)
        self._accounts = None if accounts is None else list(accounts)
        self.due_in = lambda _: None
        self._places: dict[int, Place] = {}
        self._busy_s = _BREATH_S

    def claim(self, conn: psycopg.Connection[Any], slots: int) -> Callable[[], list[Lease]]:
        """Claim what the pools let through now; what must wait stays in the queue."""
        asked = {
            "queue": self.queue,
            "accounts": self._accounts,
            "worker": self._worker_id(),
            "ahead": AHEAD_S / 2,
        }
        waiting = conn.execute(statement("lock_pools"), asked, prepare=True).fetchall()
        waits = [self._asked_again(row[-1]) for row in waiting if row[-1] is not None]
        if not any(row[-1] == 0 for row in waiting):
            self._busy_s = _BREATH_S
        locked = [row for row in waiting if row[-1] is None]
        read = self._claim_from(conn, locked, slots, waits) if locked else list
        if waits:
            self.due_in(max(_BREATH_S, min(waits)) + uniform(0, _SPREAD_S))  # noqa: S311
        return read

    def _asked_again(self, wait: float) -> float:
        """In how many seconds to ask a pool again. One that another process has locked (wait 0) is
        asked soon, but less and less often: that process may be stuck."""
        if wait > 0:
            return wait
        self._busy_s = min(2 * self._busy_s, AHEAD_S)
        return self._busy_s

    def _claim_from(
        self,
        conn: psycopg.Connection[Any],
        locked: Sequence[tuple[Any, ...]],
        slots: int,
        waits: list[float],
    ) -> Callable[[], list[Lease]]:
        """Claim from these pools, and add to `waits` in how many seconds to ask them again."""
        shared = sorted({row[1] for row in locked if row[1] is not None})
        if shared:
            conn.execute(statement("lock_shared"), {"ids": shared}, prepare=True)
        purse = lock_purse(conn, {row[2] for row in locked}) if locked[0][3] else None
        before = monotonic()
        ids = [*(row[0] for row in locked), *shared]
        seen = foremost(slots, len(locked))
        found = conn.execute(statement("read_pools"), {"ids": ids, "limit": seen}, prepare=True)
        turn = Turn([PoolRow(*row) for row in found.fetchall()], seen, purse)
        moment = _Moment(before, monotonic())
        turn.admit(slots)
        self._remember(turn, moment)
        waits += [wait for wait in turn.waits.values() if wait is not None]
        conn.execute(statement("write_pools"), {"pools": encode(turn.written)}, prepare=True)
        if turn.deferred:
            conn.execute(statement("defer_calls"), {"calls": encode(turn.deferred)}, prepare=True)
        if not turn.chosen:
            return list
        if len(turn.chosen) == slots:  # others may have slots for what is left
            conn.execute(statement("hint"), {"queue": self.queue}, prepare=True)
        read = self._claim_chosen(conn, list(turn.chosen))
        if purse is not None and purse.holds:
            hold(conn, purse, self._worker_id())
        return read

    def _remember(self, turn: Turn, moment: _Moment) -> None:
        """Keep where the claimed calls go."""
        for task, one in turn.chosen.items():
            charged, starts = moment.before + one.after_s, moment.after + one.after_s
            self._places[task] = Place(one.pool, one.model, charged, starts, one.never)

    def place(self, task_id: int) -> Place:
        """Where a call goes that this process has claimed; asked once, when it begins."""
        return self._places.pop(task_id)
