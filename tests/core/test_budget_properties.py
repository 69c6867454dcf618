"""Whatever happens in whatever order, every budget adds up and no ceiling is passed.

A state machine drives real statements on a real database: spawns, claims, settlements, retries,
crashes, expired leases, cancels, deadlines, dead letters put back. After each step the audit must
find nothing, and the charges must be what the machine itself has counted.
"""

import contextlib
from collections import Counter
from typing import Any

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from lmx.workflows.control import cancel, expire_deadlines, retry
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import Refused
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Operation
from lmx.workflows.sql import statement
from lmx.workflows.sweep import sweep
from lmx.workflows.views import check_budgets, get_run
from tests.support.hands import COORDINATORS, QUEUE, Hands, finishing, spawning
from tests.support.machines import run_machine

ROOT = {"usd": 1000, "tokens": 300}
AMOUNTS = st.integers(0, 100)
ANY = st.integers(0, 1_000)

Hold = tuple[int, str, int]

# A finished task may keep an open budget only while something beneath it may still be open.
_FORGOTTEN = """
    SELECT count(*) FROM lmx.budgets b JOIN lmx.tasks t ON t.id = b.task_id
    WHERE t.root_id = %s AND NOT b.closed AND t.finished_at IS NOT NULL
      AND b.held = 0 AND b.granted = 0
      AND NOT EXISTS (SELECT FROM lmx.tasks c WHERE c.parent_id = t.id AND c.role = 'coordinator')
"""


class Budgets(RuleBasedStateMachine):
    """One run of up to three levels, its leases, and the money that the machine has counted."""

    database: Database

    @initialize()
    def start(self) -> None:
        self.hands = Hands(self.database)
        self.run = self.hands.submit(nesting=2, budgets=ROOT)
        self.leases: list[Lease] = []
        self.stale: list[Lease] = []
        self.tasks = [self.run]
        self.states: dict[int, str] = {}
        self.held: dict[Hold, tuple[int, str]] = {}
        self.paid: Counter[str] = Counter()
        self.keys = 0
        self.leases.append(self.hands.mind())

    def teardown(self) -> None:
        if not hasattr(self, "hands"):
            return
        try:
            with self._watching():
                cancel(self.database, self.run)
            self._adds_up()
            for budget in get_run(self.database, self.run).budgets:
                assert budget.held == 0
                assert budget.spent == self.paid[budget.unit] <= budget.ceiling
        finally:
            self.hands.close()

    @contextlib.contextmanager
    def _watching(self, settled: dict[Hold, int] | None = None) -> Any:
        """Count what the block costs: `settled` as told, any other hold that vanishes as lost."""
        yield
        there = self._holds()
        for hold in self.held.keys() - there.keys():
            amount, lost = self.held[hold]
            cost = (settled or {}).get(hold, amount if lost == "charge" else 0)
            self.paid[hold[1]] += min(cost, amount)
        self.held = there

    def _holds(self) -> dict[Hold, tuple[int, str]]:
        rows = self.hands.conn.execute(
            "SELECT h.task_id, h.unit, h.lease_seq, h.amount, b.lost FROM lmx.holds h"
            " JOIN lmx.budgets b USING (task_id, unit) JOIN lmx.tasks t ON t.id = h.task_id"
            " WHERE t.root_id = %s",
            [self.run],
        )
        return {(task, unit, seq): (amount, lost) for task, unit, seq, amount, lost in rows}

    def _end(self, leases: list[Lease], operations: list[Operation]) -> None:
        """Apply operations that end attempts; their `costs` are what the machine expects."""
        settled: dict[Hold, int] = {}
        for operation in operations:
            for unit, cost in (operation.costs or {}).items():
                if cost is not None:
                    settled[operation.task_id, unit, operation.seq] = cost
        with self._watching(settled):
            applied = self.hands.apply(*operations)
        for lease, result in zip(leases, applied, strict=True):
            assert result.accepted
            self._drop(lease)

    def _minds(self) -> list[Lease]:
        return [lease for lease in self.leases if lease.role == "coordinator"]

    def _calls(self) -> list[Lease]:
        return [lease for lease in self.leases if lease.role == "worker"]

    def _in(self, *states: str) -> list[int]:
        """The tasks beneath the root that were in these states when last looked at."""
        return [task for task in self.tasks[1:] if self.states.get(task) in states]

    def _drop(self, lease: Lease) -> None:
        self.leases.remove(lease)
        self.stale.append(lease)

    def _void_what_others_ended(self) -> None:
        for lease in list(self.leases):
            current = self.hands.value(
                "SELECT lease_seq = %s AND state = 'leased' FROM lmx.tasks WHERE id = %s",
                lease.seq,
                lease.task_id,
            )
            if not current:
                self._drop(lease)

    def _costs(self, lease: Lease, cost: int | None) -> dict[str, int | None]:
        return {unit: cost for task, unit, seq in self.held if (task, seq) == lease.token}

    @rule(
        pick=ANY,
        ceilings=st.lists(AMOUNTS, min_size=1, max_size=3),
        reserve=AMOUNTS,
        lost=st.sampled_from(["charge", "release"]),
        unit=st.sampled_from(["usd", "tokens"]),
        start=st.integers(0, 3),
    )
    @precondition(lambda self: self._minds() and len(self._calls()) < 8)
    def spawn_calls(
        self, pick: int, ceilings: list[int], reserve: int, lost: str, unit: str, start: int
    ) -> None:
        parent = self._minds()[-1 - pick % len(self._minds())]
        budgets = [{unit: ceiling} for ceiling in ceilings]
        self._spawn(parent, budgets, reserve={unit: min([reserve, *ceilings])}, lost=lost)
        if start:
            self.claim(start)

    @rule(pick=ANY, usd=st.integers(50, 300), tokens=st.integers(50, 100))
    @precondition(lambda self: any(x.nesting for x in self._minds()) and len(self._minds()) < 4)
    def spawn_a_coordinator(self, pick: int, usd: int, tokens: int) -> None:
        minds = [lease for lease in self._minds() if lease.nesting]
        parent = minds[pick % len(minds)]
        self._spawn(parent, [{"usd": usd, "tokens": tokens}], role="coordinator", nesting=1)
        self.leases += self.hands.claim(COORDINATORS)

    def _spawn(self, parent: Lease, budgets: list[dict[str, int]], **options: Any) -> None:
        operations = []
        for budget in budgets:
            self.keys += 1
            operations.append(spawning(parent, f"k{self.keys}", budget=budget, **options))
        left: dict[str, int] = dict(
            self.hands.conn.execute(
                "SELECT unit, ceiling - spent - held - granted FROM lmx.budgets WHERE task_id = %s",
                [parent.task_id],
            ).fetchall()
        )
        asked = Counter[str]()
        for budget in budgets:
            asked.update(budget)
        fits = all(amount <= left[unit] for unit, amount in asked.items())
        try:
            born = self.hands.apply(*operations)
        except psycopg.errors.CheckViolation as error:
            assert error.diag.constraint_name == "budgets_never_overspent"
            assert not fits
        else:
            assert fits
            self.tasks += [result.row[2] for result in born if result.row]

    @rule(slots=st.integers(1, 4))
    @precondition(lambda self: self._in("ready") or self.states.get(self.run) == "ready")
    def start_what_is_ready(self, slots: int) -> None:
        self.claim(slots)

    def claim(self, slots: int) -> None:
        taken = self.hands.claim(COORDINATORS, slots) + self.hands.claim(QUEUE, slots)
        self.held = self._holds()
        self.leases += taken
        if poor := [lease for lease in taken if not lease.affordable]:
            error = {"kind": "budget", "message": "not enough left"}
            ends = [finishing(x, error=error, costs=self._costs(x, 0)) for x in poor]
            self._end(poor, ends)

    @rule(pick=ANY, share=st.integers(0, 110))
    @precondition(lambda self: self._calls())
    def finish_a_call_at_a_share_of_its_hold(self, pick: int, share: int) -> None:
        lease = self._calls()[pick % len(self._calls())]
        amounts = {hold[1]: self.held[hold][0] for hold in self.held if hold[0] == lease.task_id}
        costs: dict[str, int | None] = {u: n * share // 100 for u, n in amounts.items()}
        self._end([lease], [finishing(lease, costs=costs)])

    @rule(pick=ANY, cost=st.none() | AMOUNTS, failed=st.booleans())
    @precondition(lambda self: self._calls())
    def finish_a_call(self, pick: int, cost: int | None, failed: bool) -> None:
        lease = self._calls()[pick % len(self._calls())]
        error = {"kind": "exception", "message": "broke"} if failed else None
        self._end([lease], [finishing(lease, error=error, costs=self._costs(lease, cost))])

    @rule(pick=ANY)
    @precondition(lambda self: len(self._minds()) > 1)
    def fail_a_coordinator(self, pick: int) -> None:
        minds = [lease for lease in self._minds() if lease.task_id != self.run]
        if minds:
            lease = minds[pick % len(minds)]
            error = {"kind": "exception", "message": "broke"}
            self._end([lease], [finishing(lease, error=error, costs=self._costs(lease, 0))])

    @rule(cost=AMOUNTS)
    @precondition(lambda self: self._minds() and len(self._calls()) > 2)
    def finish_parents_and_children_together(self, cost: int) -> None:
        leases = [lease for lease in self.leases if lease.task_id != self.run]
        self._end(leases, [finishing(x, costs=self._costs(x, cost)) for x in leases])

    @rule(pick=ANY, cost=st.none() | AMOUNTS)
    @precondition(lambda self: self._calls())
    def fail_an_attempt(self, pick: int, cost: int | None) -> None:
        lease = self._calls()[pick % len(self._calls())]
        fields = {"delay": 0.0, "error": {"kind": "exception"}}
        costs = self._costs(lease, cost)
        self._end([lease], [Operation("retry", *lease.token, fields, costs=costs)])
        self.hands.conn.execute(statement("promote"))

    @rule(pick=ANY)
    @precondition(lambda self: self._minds())
    def park(self, pick: int) -> None:
        lease = self._minds()[pick % len(self._minds())]
        costs = self._costs(lease, 0)
        fields = {"children": True}
        settled = {hold: 0 for hold in self.held if (hold[0], hold[2]) == lease.token}
        with self._watching(settled):
            parking = Operation("park", *lease.token, fields, costs=costs)
            (applied,) = self.hands.apply(parking)
        assert applied.row is not None
        if applied.row[1]:
            self._drop(lease)

    @rule(pick=ANY)
    @precondition(lambda self: self._calls())
    def lose_an_attempt(self, pick: int) -> None:
        lease = self._calls()[pick % len(self._calls())]
        costs = self._costs(lease, None)
        self._end([lease], [Operation("requeue", *lease.token, {"lost": True}, costs=costs)])

    @rule()
    @precondition(lambda self: len(self._calls()) > 3)
    def let_the_workers_lease_expire(self) -> None:
        self.hands.conn.execute(
            "UPDATE lmx.workers SET expires_at = now() - interval '1 s' WHERE id = %s",
            [self.hands.worker],
        )
        with self._watching():
            sweep(self.hands.conn)
        self._void_what_others_ended()
        assert self.leases == []
        self.hands.close()
        self.hands = Hands(self.database)

    @rule(pick=ANY, cost=AMOUNTS)
    @precondition(lambda self: self.stale and self.held)
    def a_zombie_finishes(self, pick: int, cost: int) -> None:
        lease = self.stale[pick % len(self.stale)]
        assert not self.hands.finish(lease, "late", costs={"usd": cost, "tokens": cost})

    @rule(pick=ANY)
    @precondition(lambda self: len(self._in("leased", "parked")) > 4)
    def cancel_a_task(self, pick: int) -> None:
        running = self._in("leased", "parked", "ready")
        with self._watching():
            cancel(self.database, running[pick % len(running)])
        self._void_what_others_ended()

    @rule(pick=ANY)
    @precondition(lambda self: len(self._in("leased", "parked")) > 4)
    def let_a_deadline_pass(self, pick: int) -> None:
        running = self._in("leased", "parked")
        task = running[pick % len(running)]
        self.hands.conn.execute("UPDATE lmx.tasks SET deadline = now() WHERE id = %s", [task])
        with self._watching():
            expire_deadlines(self.hands.conn)
        self._void_what_others_ended()
        self.hands.conn.execute("UPDATE lmx.tasks SET deadline = NULL WHERE id = %s", [task])

    @rule(pick=ANY)
    @precondition(lambda self: self._in("failed", "cancelled"))
    def put_back(self, pick: int) -> None:
        undone = self._in("failed", "cancelled")
        with contextlib.suppress(Refused):
            retry(self.database, undone[pick % len(undone)])

    @invariant()
    def _adds_up(self) -> None:
        if not hasattr(self, "hands"):
            return
        assert check_budgets(self.database, self.run) == []
        rows = self.hands.conn.execute(
            "SELECT unit, sum(amount)::bigint FROM lmx.charges WHERE run_id = %s GROUP BY unit",
            [self.run],
        )
        charged: dict[str, int] = dict(rows.fetchall())
        assert charged == {unit: paid for unit, paid in self.paid.items() if paid}
        assert self.hands.value(_FORGOTTEN, self.run) == 0
        rows = self.hands.conn.execute(
            "SELECT id, state::text FROM lmx.tasks WHERE root_id = %s", [self.run]
        )
        self.states = dict(rows.fetchall())


def test_any_interleaving_keeps_every_budget_exact(database: Database) -> None:
    run_machine(Budgets, database, examples=50, steps=50)
    assert check_budgets(database) == []
