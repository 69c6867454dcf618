"""One claim over the pools of a provider: what of the waiting starts, waits, is set aside. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lmx.workflows.allowances.purse import Purse
from lmx.workflows.limits.admission import Admission, Call, Wait, admit
from lmx.workflows.limits.folding import Folded, News, fold
from lmx.workflows.limits.pool import Flying, Pool, read_pool, write_state

#: A call is claimed so many seconds of ours before it may start, so that it starts on the moment
#: however long its claim, its commit and its preparation take. A pool is asked again at half of it,
#: and lets start together what would be due in the other half.
AHEAD_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A locked pool, with its news and its waiting calls; `now` is the time on its clock.

    `shared_id` is the pool of the limits that it shares, `flying` are the calls on their way. The
    clock was `set_back` by so much since the pool was written.
    """

    id: int
    name: str
    shared_id: int | None
    account: str
    limits: Sequence[Mapping[str, Any]]
    state: Mapping[str, Any]
    clock_rate: float
    now: float
    news: Sequence[tuple[str, float, int | None, Mapping[str, Any]]]
    waiting: Sequence[tuple[int, str, Mapping[str, int]]]
    flying: Sequence[Flying]
    set_back: float = 0.0

    def fold(self) -> Folded:
        """The pool with its news folded in."""
        pool = replace(read_pool(self.limits, self.state), flying=self.flying)
        if self.set_back:
            pool = pool.earlier(self.set_back)
        return fold(pool, (News(*item) for item in self.news), self.state.get("lowered", {}))


def foremost(slots: int, pools: int) -> int:
    """How many waiting calls a claim of so many slots looks at in each of these pools.

    Each row that is looked at is locked. A pool may need twice its share when others must wait.
    """
    return min(slots, -(-2 * slots // pools))


@dataclass(frozen=True, slots=True)
class Chosen:
    """A call that is to be claimed: its pool's name, its model, in how many seconds of ours it may
    start. `never` says why it never can; such a call is claimed to fail.
    """

    pool: str
    model: str
    after_s: float = 0.0
    never: str | None = None


@dataclass(slots=True)
class Turn:
    """Decides for locked pools, each in its turn, what starts. `written` are the rows afterwards.

    Of each pool's calls no more than `seen` were looked at. `chosen` is what is to be claimed, by
    its task; `waits` says in how many seconds of ours a pool should be asked again, if it must be.
    """

    rows: Sequence[PoolRow]
    seen: int
    purse: Purse | None = None
    chosen: dict[int, Chosen] = field(default_factory=dict)
    deferred: list[dict[str, Any]] = field(default_factory=list)
    waits: dict[int, float | None] = field(default_factory=dict)
    written: list[dict[str, Any]] = field(default_factory=list)

    def admit(self, slots: int) -> None:
        """Decide for each pool; no pool takes the slots that another one could use."""
        common = {row.shared_id for row in self.rows}
        shared = {row.id: row for row in self.rows if row.id in common}
        folded = {pool_id: row.fold() for pool_id, row in shared.items()}
        pools = {pool_id: one.pool for pool_id, one in folded.items()}
        own = [row for row in self.rows if row.id not in shared]
        for place, row in enumerate(own):
            share = -(-(slots - len(self.chosen)) // (len(own) - place))
            left = None if row.shared_id is None else pools[row.shared_id]
            after = self._decide(row, share, left)
            if row.shared_id is not None and after is not None:
                pools[row.shared_id] = after
        if len(self.chosen) < slots:
            self._ask_again(own)
        for pool_id, row in shared.items():
            self._write(row, Admission(pools[pool_id]), folded[pool_id])

    def _ask_again(self, rows: Sequence[PoolRow]) -> None:
        """Slots are left, and a pool that waits for nothing may have more than was its share."""
        for row in rows:
            left = any(task not in self.chosen for task, _, _ in row.waiting)
            if self.waits[row.id] is None and (left or len(row.waiting) >= self.seen):
                self.waits[row.id] = 0.0

    def _decide(self, row: PoolRow, share: int, shared: Pool | None) -> Pool | None:
        """Admit calls of one pool; returns what it shares as it is afterwards."""
        folded = row.fold()
        decision = admit(
            folded.pool,
            row.now,
            [Call(task, costs) for task, _, costs in row.waiting[:share]],
            account=row.account,
            shared=shared,
            purse=self.purse,
            ahead=AHEAD_S * row.clock_rate,
        )
        models = {task: model for task, model, _ in row.waiting}
        for task, start in decision.admitted.items():
            after_s = (start.at - row.now) / row.clock_rate
            self.chosen[task] = Chosen(row.name, models[task], after_s)
        for task, reason in decision.never.items():
            self.chosen[task] = Chosen(row.name, models[task], never=reason)
        for task, deferral in decision.deferred.items():
            put_off = {"task": task, "until": deferral.until, "reason": deferral.reason}
            self.deferred.append(put_off)
        self._write(row, decision, folded)
        return decision.shared

    def _write(self, row: PoolRow, decision: Admission, folded: Folded) -> None:
        wait = decision.wait
        self.waits[row.id] = None if wait is None else _asked_again(wait, row.clock_rate)
        if decision.deferred and wait is None:
            self.waits[row.id] = 0.0  # others may have stood behind what was set aside
        state = write_state(decision.pool, folded.lowered)
        if decision.waiting is not None:
            state["head"] = decision.waiting
        charged = {
            str(task): {"at": start.at, "costs": start.costs}
            for task, start in decision.admitted.items()
        } | {str(task): {} for task in decision.never}
        if wait is None and not charged and state == row.state:
            return
        self.written.append(
            {
                "id": row.id,
                "state": state,
                "wait": None if wait is None else wait.seconds,
                "reason": None if wait is None else wait.reason,
                "now": row.now,
                "charged": charged,
            }
        )


def _asked_again(wait: Wait, clock_rate: float) -> float:
    """In how many seconds of ours to ask a pool again that must wait for so long."""
    seconds = wait.seconds / clock_rate
    return max(0.0, seconds - AHEAD_S / 2) if wait.sure else seconds
