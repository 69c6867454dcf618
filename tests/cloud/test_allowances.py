"""Allowances of accounts, days and months: held at the claim, settled once, never overspent."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest

from lmx.workflows.allowances.audit import check_allowances
from lmx.workflows.allowances.rules import (
    AllowanceView,
    allowance,
    end_allowance,
    list_allowances,
    set_allowance,
)
from lmx.workflows.control import cancel
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import InvalidInput
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Operation, apply
from lmx.workflows.pools import list_pools
from lmx.workflows.sql import statement
from lmx.workflows.sweep import sweep
from tests.support.pools import Pools, hourly

CENT = 10_000_000


def allow(pools: Pools, amount: str, **how: str) -> None:
    set_allowance(pools.conn, allowance(amount, **how))


def state(pools: Pools, task: int) -> str:
    found: str = pools.hands.value("SELECT state::text FROM lmx.tasks WHERE id = %s", task)
    return found


def only(pools: Pools) -> AllowanceView:
    (view,) = list_allowances(pools.conn)
    return view


def exact(pools: Pools) -> bool:
    return check_allowances(pools.hands.database) == []


def test_calls_start_while_the_day_has_room_and_the_others_wait_for_the_next(pools: Pools) -> None:
    allow(pools, "0.05")
    tasks = pools.call(pools.pool("haiku", hourly(100)), 4, usd=2 * CENT)
    leases = pools.claim()
    assert [lease.task_id for lease in leases] == tasks[:2]
    assert only(pools).held == 4 * CENT
    for lease in leases:
        pools.finish(lease, costs={"usd": 2 * CENT})
    pools.ripen()
    assert pools.claim() == []
    run_at = pools.hands.value("SELECT run_at FROM lmx.tasks WHERE id = %s", tasks[2])
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert run_at.astimezone(UTC) == datetime.combine(tomorrow, datetime.min.time(), UTC)
    (pool,) = list_pools(pools.conn)
    assert pool.deferred == 2
    assert pool.deferred_for is not None
    assert pool.deferred_for.startswith("$0.04 spent and $0.00 held of $0.05 a day; until")
    assert exact(pools)


def test_what_is_held_may_come_back_so_the_next_call_waits_for_that(pools: Pools) -> None:
    allow(pools, "0.05")
    tasks = pools.call(pools.pool("haiku", hourly(100)), 2, usd=4 * CENT)
    (lease,) = pools.claim()
    assert state(pools, tasks[1]) == "ready"
    assert max(pools.waits) < 1.1
    pools.finish(lease, costs={"usd": CENT})
    pools.ripen()
    (second,) = pools.claim()
    pools.finish(second, costs={"usd": CENT})
    view = only(pools)
    assert (view.spent, view.held, view.left) == (2 * CENT, 0, 3 * CENT)
    assert exact(pools)


def test_a_small_call_starts_where_a_large_one_has_no_room_today(pools: Pools) -> None:
    allow(pools, "0.05")
    pool = pools.pool("haiku", hourly(100))
    (first,) = pools.call(pool, 1, usd=3 * CENT)
    pools.finish(pools.claim()[0], costs={"usd": 3 * CENT})
    (large,) = pools.call(pool, 1, usd=3 * CENT)
    (small,) = pools.call(pool, 1, usd=2 * CENT)
    assert [lease.task_id for lease in pools.claim()] == [small]
    assert state(pools, large) == "scheduled"
    assert state(pools, first) == "succeeded"


def test_each_account_has_its_own_and_all_share_that_of_everything(pools: Pools) -> None:
    allow(pools, "0.02", account="faithful/work", per="total")
    allow(pools, "3", unit="calls", per="month")
    work = pools.pool("haiku", hourly(100), account="work")
    home = pools.pool("haiku", hourly(100), account="home")
    pools.call(work, 4, usd=CENT)
    pools.call(home, 4, usd=CENT)
    leases = pools.claim()
    pools_used = [pools.intake.place(lease.task_id).pool for lease in leases]
    assert sorted(pools_used).count("faithful/work/haiku") == 2
    assert len(leases) == 3
    assert exact(pools)


def test_raising_or_ending_an_allowance_lets_the_waiting_calls_go(pools: Pools) -> None:
    allow(pools, "0.01")
    pools.call(pools.pool("haiku", hourly(100)), 3, usd=CENT)
    pools.finish(pools.claim()[0], costs={"usd": CENT})
    pools.ripen()
    for change in (
        lambda: allow(pools, "0.02"),
        lambda: end_allowance(pools.conn, "*", "usd", "day"),
    ):
        assert pools.claim() == []
        change()
        pools.conn.execute(statement("promote"))
        (lease,) = pools.claim()
        pools.finish(lease, costs={"usd": CENT})
        pools.ripen()
    assert list_allowances(pools.conn) == []
    assert exact(pools)


def test_one_that_is_lowered_grants_nothing_more_and_takes_nothing_back(pools: Pools) -> None:
    allow(pools, "0.05")
    pools.call(pools.pool("haiku", hourly(100)), 3, usd=2 * CENT)
    first, second = pools.claim()
    allow(pools, "0.01")
    pools.finish(first, costs={"usd": 2 * CENT})
    pools.finish(second, costs={"usd": 0})
    pools.ripen()
    assert pools.claim() == []
    view = only(pools)
    assert (view.spent, view.held, view.left) == (2 * CENT, 0, 0)
    assert pools.hands.value("SELECT ceiling FROM lmx.allowance_periods") == 2 * CENT
    assert exact(pools)


def test_a_call_is_charged_to_the_day_in_which_it_was_held(pools: Pools) -> None:
    allow(pools, "0.05")
    pools.call(pools.pool("haiku", hourly(100)), 2, usd=3 * CENT)
    (lease,) = pools.claim()
    pools.conn.execute(
        "UPDATE lmx.allowance_periods SET starts_at = starts_at - interval '1 day',"
        " ends_at = ends_at - interval '1 day'"
    )
    pools.ripen()
    (of_today,) = pools.claim()
    pools.finish(lease, costs={"usd": 3 * CENT})
    pools.finish(of_today, costs={"usd": CENT})
    assert only(pools).spent == CENT
    charged = pools.conn.execute(
        "SELECT sum(amount)::bigint FROM lmx.allowance_charges"
        " GROUP BY period_id ORDER BY period_id"
    ).fetchall()
    assert charged == [(3 * CENT,), (CENT,)]
    assert exact(pools)


def test_a_lost_call_is_charged_at_its_hold_and_shown_as_unknown(pools: Pools) -> None:
    allow(pools, "0.10")
    pools.call(pools.pool("haiku", hourly(100)), 1, usd=3 * CENT)
    pools.claim()
    pools.conn.execute("UPDATE lmx.workers SET expires_at = now() - interval '1 s'")
    sweep(pools.conn)
    view = only(pools)
    assert (view.spent, view.held, view.unknown) == (3 * CENT, 0, 3 * CENT)
    assert exact(pools)


def test_a_cancelled_call_is_charged_and_one_that_was_not_sent_is_not(pools: Pools) -> None:
    allow(pools, "0.10")
    sent, unsent = pools.call(pools.pool("haiku", hourly(100)), 2, usd=3 * CENT)
    leases = {lease.task_id: lease for lease in pools.claim()}
    cancel(pools.hands.database, sent)
    back = Operation("requeue", *leases[unsent].token, {"lost": False})
    with pools.conn.transaction():
        apply(pools.conn, [back])
    view = only(pools)
    assert (view.spent, view.held, view.unknown) == (3 * CENT, 0, 3 * CENT)
    assert exact(pools)


def test_a_zombie_settles_nothing(pools: Pools) -> None:
    allow(pools, "0.10")
    pools.call(pools.pool("haiku", hourly(100)), 1, usd=CENT)
    (lease,) = pools.claim()
    pools.finish(lease, seq=lease.seq + 1, costs={"usd": 0})
    view = only(pools)
    assert (view.spent, view.held) == (0, CENT)


def test_racing_claims_and_settlements_never_overspend_a_dollar(database: Database) -> None:
    racers = [Pools(database) for _ in range(8)]
    try:
        first = racers[0]
        allow(first, "1.00")
        allow(first, "1000", unit="calls", per="month")
        # Two pools of every account, which every racer claims from: 64 claims at a time.
        for place in range(8):
            pool = first.pool("haiku", hourly(1000), account=f"a{place // 2}")
            first.call(pool, 12, usd=7 * CENT)

        def race(racer: Pools) -> None:
            flying: list[Lease] = []
            for _ in range(8):
                done, flying = flying[:-4], flying[-4:]
                # One transaction as the group commit makes it: settle, then claim.
                with racer.conn.transaction():
                    apply(racer.conn, [spent(lease, 5 * CENT) for lease in done])
                    flying += racer.intake.claim(racer.conn, 8)()
                # Somebody changes allowances meanwhile, in any order.
                allow(racer, "1000", unit="calls", per="month")
                allow(racer, "1.00")

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(race, racers))
        view = next(one for one in list_allowances(first.conn) if one.unit == "usd")
        assert 80 * CENT < view.spent + view.held <= 100 * CENT
        assert check_allowances(database) == []
    finally:
        for racer in racers:
            racer.hands.close()


def spent(lease: Lease, amount: int) -> Operation:
    """The end of a call that has cost so much."""
    end = Operation("finish", *lease.token, {"state": "succeeded"})
    end.costs = {"usd": amount, "calls": 1}
    return end


@pytest.mark.parametrize("table", ["charges", "allowance_charges"])
@pytest.mark.parametrize("change", ["DELETE FROM lmx.{}", "UPDATE lmx.{} SET amount = 0"])
def test_the_ledger_takes_nothing_back(pools: Pools, table: str, change: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        pools.conn.execute(change.format(table))


def test_the_audit_finds_a_sum_that_is_wrong(pools: Pools) -> None:
    allow(pools, "0.10")
    pools.call(pools.pool("haiku", hourly(100)), 1, usd=CENT)
    pools.claim()
    pools.conn.execute("UPDATE lmx.allowance_periods SET spent = 7")
    (found,) = check_allowances(pools.hands.database)
    assert "says spent = 7, but its rows add up to 0" in str(found)


def test_units_other_than_dollars_are_held_and_settled_alike(pools: Pools) -> None:
    allow(pools, "1000", unit="tokens")
    allow(pools, "500", unit="seconds")
    pools.call(pools.pool("haiku", hourly(100)), 3, tokens=400, seconds=200)
    first, second = pools.claim()
    pools.finish(first, costs={"tokens": 50, "seconds": 3, "*": 0})
    pools.finish(second, costs={"tokens": 60, "seconds": 4, "*": 0})
    spent = {view.unit: view.spent for view in list_allowances(pools.conn)}
    assert spent == {"tokens": 110, "seconds": 7}
    assert exact(pools)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Kiritimati"])
@pytest.mark.parametrize("per", ["day", "month"])
def test_a_period_begins_and_ends_at_midnight_of_its_zone(
    pools: Pools, zone: str, per: str
) -> None:
    allow(pools, "1", zone=zone, per=per)
    pools.call(pools.pool("haiku", hourly(100)), 1, usd=CENT)
    pools.claim()
    view = only(pools)
    assert view.starts_at is not None
    assert view.ends_at is not None
    here = [at.astimezone(ZoneInfo(zone)) for at in (view.starts_at, view.ends_at)]
    assert {at.time() for at in here} == {time(0, 0)}
    assert view.starts_at <= datetime.now(UTC) < view.ends_at
    first, next_ = (at.date() for at in here)
    assert next_ == first + timedelta(days=1) if per == "day" else (first.day, next_.day) == (1, 1)


def test_a_zone_that_the_database_does_not_know_is_refused_when_it_is_set(pools: Pools) -> None:
    unknown = replace(allowance("1"), zone="Mars/Olympus")
    with pytest.raises(InvalidInput, match="knows no time zone 'Mars/Olympus'"):
        set_allowance(pools.conn, unknown)
    assert list_allowances(pools.conn) == []
