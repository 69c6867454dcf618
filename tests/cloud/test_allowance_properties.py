"""Whatever happens to calls and allowances, in any order: sums are exact, nothing is overspent."""

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from lmx.workflows.allowances.audit import check_allowances
from lmx.workflows.allowances.rules import allowance, list_allowances, set_allowance
from lmx.workflows.control import cancel
from lmx.workflows.database.connect import Database
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Operation, apply
from lmx.workflows.sql import statement
from tests.support.machines import run_machine
from tests.support.pools import Pools, hourly

ANY = st.integers(0, 1000)


class Spending(RuleBasedStateMachine):
    """Two accounts; each has an allowance, and both share another."""

    database: Database

    @initialize()
    def begin(self) -> None:
        self.pools = Pools(self.database)
        self.flying: list[Lease] = []
        conn = self.pools.conn
        conn.execute("UPDATE lmx.allowances SET active = false")
        conn.execute(
            "UPDATE lmx.tasks SET state = 'cancelled', finished_at = now(), run_at = NULL"
            " WHERE finished_at IS NULL AND state <> 'leased'"
        )
        self.ids = [
            self.pools.pool("haiku", hourly(10**6), account=name) for name in ("home", "work")
        ]
        self._allow(40, "*")
        self._allow(30, "faithful/work")

    def teardown(self) -> None:
        if hasattr(self, "pools"):
            for lease in self.flying:
                self.pools.finish(lease, costs={"*": 0})
            self.pools.hands.close()

    def _allow(self, calls: int, scope: str) -> None:
        account = None if scope == "*" else scope
        set_allowance(self.pools.conn, allowance(str(calls), unit="tokens", account=account))

    def _take(self, pick: int) -> Lease:
        return self.flying.pop(pick % len(self.flying))

    @rule(place=st.integers(0, 1), tokens=st.integers(1, 20), count=st.integers(1, 3))
    def queue_calls(self, place: int, tokens: int, count: int) -> None:
        self.pools.call(self.ids[place], count, tokens=tokens)

    @rule(slots=st.integers(1, 8))
    def claim(self, slots: int) -> None:
        self.pools.ripen()
        self.flying += self.pools.claim(slots)

    @rule(pick=ANY, cost=st.integers(0, 25) | st.none())
    @precondition(lambda self: self.flying)
    def finish(self, pick: int, cost: int | None) -> None:
        self.pools.finish(self._take(pick), costs={"tokens": cost, "*": 0})

    @rule(pick=ANY, lost=st.booleans())
    @precondition(lambda self: self.flying)
    def give_back(self, pick: int, lost: bool) -> None:
        lease = self._take(pick)
        costs: dict[str, int | None] | None = {"*": None} if lost else None
        back = Operation("requeue", *lease.token, {"lost": lost}, costs=costs)
        with self.pools.conn.transaction():
            apply(self.pools.conn, [back])

    @rule(pick=ANY)
    @precondition(lambda self: self.flying)
    def cancel_one(self, pick: int) -> None:
        cancel(self.database, self._take(pick).task_id)

    @rule(pick=ANY)
    @precondition(lambda self: self.flying)
    def hear_a_zombie(self, pick: int) -> None:
        lease = self.flying[pick % len(self.flying)]
        self.pools.finish(lease, seq=lease.seq - 1, costs={"*": 0})

    @rule(scope=st.sampled_from(["*", "faithful/work"]), ceiling=st.integers(0, 80))
    def change_the_allowance(self, scope: str, ceiling: int) -> None:
        self._allow(ceiling, scope)
        self.pools.conn.execute(statement("promote"))

    @rule()
    def let_the_day_pass(self) -> None:
        conn = self.pools.conn
        conn.execute(
            "UPDATE lmx.allowance_periods SET starts_at = starts_at - interval '1 day',"
            " ends_at = ends_at - interval '1 day'"
        )
        conn.execute("UPDATE lmx.tasks SET run_at = now() WHERE state = 'scheduled'")
        conn.execute(statement("promote"))

    @invariant()
    def _exact(self) -> None:
        if hasattr(self, "pools"):
            assert check_allowances(self.database) == []
            for view in list_allowances(self.pools.conn):
                assert view.left == max(0, view.ceiling - view.spent - view.held)
            overspent = "SELECT count(*) FROM lmx.allowance_periods WHERE spent + held > ceiling"
            assert self.pools.hands.value(overspent) == 0


def test_any_interleaving_keeps_every_allowance_exact(database: Database) -> None:
    run_machine(Spending, database, examples=6, steps=25)
