"""Claims calls of a provider as its pools allow: in one transaction lock, fold, admit, lease.

A pool that must wait says until when, and is left alone until then; the others go on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import psycopg

from lmx.workers.cloud.turn import PoolRow, Turn, foremost
from lmx.workers.intake import Intake
from lmx.workflows.allowances.holding import hold, lock_purse
from lmx.workflows.lease import Lease
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement

#: Pools are not asked more often than this, in seconds: what falls due meanwhile starts together.
_BREATH_S: Final = 0.005
#: For so long after its time a pool is asked again: the database's clock is not quite ours.
_LATE_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Place:
    """Where a claimed call goes: the pool by its name, and the model.

    `charged` is this process's monotonic clock just before the pool was charged. `never` says why
    its pool can never let it start; such a call is claimed to fail.
    """

    pool: str
    model: str
    charged: float
    never: str | None = None


@dataclass(frozen=True, slots=True)
class _Moment:
    """The pools' clocks were read between these two times of this process's monotonic clock."""

    before: float
    after: float


class CloudIntake(Intake):
    """The intake of a provider's worker. `due_in` is told when a pool will let something start."""

    due_in: Callable[[float], None]

    def __init__(self, queue: str, prefetch: int, worker_id: Callable[[], int]) -> None:
        super().__init__(queue, prefetch, worker_id)
        self.due_in = lambda _: None
        self._places: dict[int, Place] = {}
        self._due: dict[int, float] = {}

    def claim(self, conn: psycopg.Connection[Any], slots: int) -> Callable[[], list[Lease]]:
        """Claim what the pools let through now; what must wait stays in the queue."""
        read = self._claim_now(conn, slots)
        now = monotonic()
        self._due = {pool: due for pool, due in self._due.items() if due > now - _LATE_S}
        if self._due:
            self.due_in(max(_BREATH_S, min(self._due.values()) - now))
        return read

    def _claim_now(self, conn: psycopg.Connection[Any], slots: int) -> Callable[[], list[Lease]]:
        asked = {"queue": self.queue, "worker": self._worker_id()}
        locked = conn.execute(statement("lock_pools"), asked, prepare=True).fetchall()
        if not locked:
            return list
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
        conn.execute(statement("write_pools"), {"pools": encode(turn.written)}, prepare=True)
        if turn.deferred:
            conn.execute(statement("defer_calls"), {"calls": encode(turn.deferred)}, prepare=True)
        if not turn.chosen:
            return list
        read = self._claim_chosen(conn, list(turn.chosen))
        if purse is not None and purse.holds:
            hold(conn, purse, self._worker_id())
        return read

    def _remember(self, turn: Turn, moment: _Moment) -> None:
        """Keep where the claimed calls go, and when which pool will let something start."""
        for task, (pool, model, never) in turn.chosen.items():
            self._places[task] = Place(pool, model, moment.before, never)
        for pool_id, wait_s in turn.waits.items():
            self._due.pop(pool_id, None)
            if wait_s is not None:
                self._due[pool_id] = moment.after + wait_s

    def place(self, task_id: int) -> Place:
        """Where a call goes that this process has claimed; asked once, when it begins."""
        return self._places.pop(task_id)
