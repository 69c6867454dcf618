"""Claims calls of a provider as its pools allow: in one transaction lock, fold, admit, lease.

A pool that must wait says until when, and is left alone until then; the others go on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final

import psycopg

from lmx.workers.intake import Intake
from lmx.workflows.lease import Lease
from lmx.workflows.limits.admission import Admission, Call, admit
from lmx.workflows.limits.folding import Folded, News, fold
from lmx.workflows.limits.pool import Flying, read_pool, write_state
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement

#: Pools are not asked more often than this, in seconds: what falls due meanwhile starts together.
_BREATH_S: Final = 0.005
#: For so long after its time a pool is asked again: the database's clock is not quite ours.
_LATE_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A locked pool, with its news and its waiting calls; `now` is the time on its clock.

    `flying` are the calls on their way.
    """

    id: int
    name: str
    limits: Sequence[Mapping[str, Any]]
    state: Mapping[str, Any]
    clock_rate: float
    now: float
    news: Sequence[tuple[str, float, int | None, Mapping[str, Any]]]
    waiting: Sequence[tuple[int, str, Mapping[str, int]]]
    flying: Sequence[Flying]

    def fold(self) -> Folded:
        """The pool with its news folded in."""
        pool = replace(read_pool(self.limits, self.state), flying=self.flying)
        return fold(pool, (News(*item) for item in self.news), self.state.get("lowered", {}))


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
        locked = conn.execute(statement("lock_pools"), asked, prepare=True)
        ids = [row[0] for row in locked.fetchall()]
        if not ids:
            return list
        before = monotonic()
        found = conn.execute(statement("read_pools"), {"ids": ids, "limit": slots}, prepare=True)
        pools = [PoolRow(*row) for row in found.fetchall()]
        chosen, written = self._admit(pools, slots, _Moment(before, monotonic()))
        conn.execute(statement("write_pools"), {"pools": encode(written)}, prepare=True)
        return self._claim_chosen(conn, chosen) if chosen else list

    def place(self, task_id: int) -> Place:
        """Where a call goes that this process has claimed; asked once, when it begins."""
        return self._places.pop(task_id)

    def _admit(
        self, pools: Sequence[PoolRow], slots: int, moment: _Moment
    ) -> tuple[list[int], list[dict[str, Any]]]:
        """Decide for each pool; no pool takes the slots that another one could use."""
        chosen: list[int] = []
        written = []
        for place, row in enumerate(pools):
            share = -(-(slots - len(chosen)) // (len(pools) - place))
            folded = row.fold()
            calls = [Call(task, costs) for task, _, costs in row.waiting[:share]]
            decision = admit(folded.pool, row.now, calls)
            models = {task: model for task, model, _ in row.waiting}
            for task in (*decision.admitted, *decision.never):
                never = decision.never.get(task)
                self._places[task] = Place(row.name, models[task], moment.before, never)
                chosen.append(task)
            written.append(self._written(row, folded, decision, moment))
        return chosen, written

    def _written(
        self, row: PoolRow, folded: Folded, decision: Admission, moment: _Moment
    ) -> dict[str, Any]:
        wait = decision.wait
        self._due.pop(row.id, None)
        if wait is not None:
            self._due[row.id] = moment.after + wait.seconds / row.clock_rate
        return {
            "id": row.id,
            "state": write_state(decision.pool, folded.lowered),
            "wait": None if wait is None else wait.seconds,
            "reason": None if wait is None else wait.reason,
            "now": row.now,
            "charged": {str(task): costs for task, costs in decision.admitted.items()},
        }
