"""No pool stands still although one of its calls may start: who asks it again, and when."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from lmx.workers import outcome
from lmx.workflows.control import cancel
from lmx.workflows.lease import Lease
from lmx.workflows.limits.pool import read_pool, write_state
from lmx.workflows.operations import Operation, apply, encode
from lmx.workflows.pools import list_pools
from lmx.workflows.sweep import sweep
from tests.support.pools import Pools, hourly

SOON_S = 0.1
OVERLOAD = {"kind": "failed", "data": {"kind": "overload"}}


def used(**real: int) -> dict[str, Any]:
    return {"kind": "used", "data": {"real": real, "heard_after_s": 0.0}}


def test_a_pool_gets_the_slots_that_others_left_behind_it(pools: Pools) -> None:
    """The foremost pool gets half of the slots, and the other one can use only one of its half."""
    tasks = pools.call(pools.pool("haiku", hourly(100)), 8)
    pools.call(pools.pool("opus", hourly(1)), 8)
    assert len(pools.claim(slots=8)) == 4 + 1
    assert pools.waits[-1] < SOON_S
    assert [lease.task_id for lease in pools.claim(slots=3)] == tasks[4:7]


def test_a_call_that_becomes_the_foremost_need_not_wait_as_long_as_the_old_one(
    pools: Pools,
) -> None:
    pool = pools.pool("haiku", hourly(1000, "input_tokens"))
    pools.call(pool, 1, input_tokens=900)
    (large,) = pools.call(pool, 1, input_tokens=500)
    (small,) = pools.call(pool, 1, input_tokens=50)
    assert len(pools.claim()) == 1
    assert pools.claim() == []
    cancel(pools.hands.database, large)
    assert [lease.task_id for lease in pools.claim()] == [small]


def test_money_that_comes_back_to_one_group_wakes_those_that_share_it(pools: Pools) -> None:
    shared = pools.pool("*", hourly(10, "usd"))
    flash = pools.pool("flash", hourly(100), shared=shared)
    lite = pools.pool("lite", hourly(100), shared=shared)
    pools.call(flash, 1, usd=10)
    (lease,) = pools.claim()
    pools.call(lite, 1, usd=4)
    assert pools.claim() == []
    heard = pools.heard()
    pools.finish(lease, used(requests=1, usd=3))
    assert heard() == 1
    assert len(pools.claim()) == 1


def test_money_that_another_process_has_seen_come_back_is_seen_by_those_it_left_alone(
    pools: Pools,
) -> None:
    """News of what pools share are taken by one claim, and another pool may be locked just then."""
    shared = pools.pool("*", hourly(10, "usd"))
    flash = pools.pool("flash", hourly(100), shared=shared)
    lite = pools.pool("lite", hourly(100), shared=shared)
    pools.call(flash, 1, usd=10)
    (lease,) = pools.claim()
    (task,) = pools.call(lite, 1, usd=4)
    pools.call(flash, 1, usd=1)
    assert pools.claim() == []
    pools.finish(lease, used(requests=1, usd=3))
    with pools.hands.database.connect() as other, other.transaction():
        other.execute("SELECT FROM lmx.pools WHERE id = %s FOR NO KEY UPDATE", [lite])
        assert len(pools.claim()) == 1
        assert pools.waits[-1] < SOON_S
    assert [lease.task_id for lease in pools.claim()] == [task]


def half_open(pools: Pools) -> list[Lease]:
    """Six calls, of which two have failed and one is the probe of the breaker that they opened."""
    pools.call(pools.pool("haiku", hourly(100)), 6)
    for lease in pools.claim(slots=2):
        pools.finish(lease, OVERLOAD)
    assert pools.claim() == []
    pools.conn.execute(
        "UPDATE lmx.pools SET next_at = NULL,"
        " state = jsonb_set(state, '{breaker,until}', to_jsonb(0.0))"
    )
    probes = pools.claim()
    assert pools.claim() == []
    return probes


def cancelled(pools: Pools, probe: Lease) -> None:
    cancel(pools.hands.database, probe.task_id)


def given_back(pools: Pools, probe: Lease) -> None:
    with pools.conn.transaction():
        apply(pools.conn, [outcome.requeue(probe)])


def refused(pools: Pools, probe: Lease) -> None:
    again = Operation("requeue", probe.task_id, probe.seq, {"lost": False})
    again.news = [{"kind": "refused", "data": {"retry_after": 0.0}}, used(requests=1)]
    with pools.conn.transaction():
        apply(pools.conn, [again])


def refused_for_what_is_shared(pools: Pools, probe: Lease) -> None:
    """The pool itself hears only that the call is over."""
    again = Operation("requeue", probe.task_id, probe.seq, {"lost": False}, news=[used(requests=1)])
    with pools.conn.transaction():
        apply(pools.conn, [again])


def killed(pools: Pools, probe: Lease) -> None:
    """Its worker is declared dead; another one serves the queue."""
    dead = pools.hands.worker
    pools.conn.execute("UPDATE lmx.workers SET stopped_at = now() WHERE id = %s", [dead])
    pools.hands.worker = pools.hands.value(
        "INSERT INTO lmx.workers (name, queues, host, boot_id, pid, pid_started, expires_at)"
        " SELECT name, queues, host, boot_id, pid, pid_started, expires_at FROM lmx.workers"
        " RETURNING id"
    )
    assert sweep(pools.conn).requeued == 1


@pytest.mark.parametrize(
    "end", [cancelled, given_back, refused, refused_for_what_is_shared, killed]
)
def test_a_probe_of_which_nobody_will_hear_makes_way_for_another(
    pools: Pools, end: Callable[[Pools, Lease], None]
) -> None:
    (probe,) = half_open(pools)
    assert list_pools(pools.conn)[0].waits_for == "the breaker waits for its probe (overload)"
    end(pools, probe)
    assert len(pools.claim()) == 1


def test_a_probe_that_goes_well_closes_the_breaker(pools: Pools) -> None:
    (probe,) = half_open(pools)
    pools.finish(probe, {"kind": "succeeded", "data": {}}, used(requests=1))
    assert len(pools.claim()) == 3


def test_what_was_never_sent_counts_no_more(pools: Pools) -> None:
    """One that kills its workers runs alone: its companions are claimed and given back."""
    pools.call(pools.pool("haiku", hourly(2)), 4)
    pools.conn.execute("UPDATE lmx.tasks SET deliveries = 4 WHERE name = 'call'")
    back: list[Lease] = []
    pools.intake.give_back = back.append
    pools.intake.take(pools.claim())
    with pools.conn.transaction():
        apply(pools.conn, [outcome.requeue(lease) for lease in back])
    assert len(back) == 1
    assert pools.used("haiku") == {"requests/h": 1}


def test_a_clock_that_was_set_back_stops_no_pool(pools: Pools) -> None:
    """As if the clock had been an hour ahead when the pool was written, and was then put right."""
    rest = timedelta(hours=1)
    minutely = {**hourly(2), "period_s": 0.3, "jitter_s": 0.0}
    bucket = {"name": "tokens", "of": "input_tokens", "kind": "bucket", "limit": 60, "burst_s": 1}
    pool = pools.pool("haiku", minutely, bucket)
    pools.call(pool, 5, input_tokens=1)
    assert pools.claim(slots=1)
    pools.claim()
    limits, state = pools.conn.execute("SELECT limits, state FROM lmx.pools").fetchone() or ((), {})
    ahead = read_pool(limits, state).earlier(-rest.total_seconds())
    pools.conn.execute(
        "UPDATE lmx.pools SET state = %s, next_at = next_at + %s, updated_at = updated_at + %s",
        [encode(write_state(ahead, {})), rest, rest],
    )
    pools.claim()
    assert pools.waits[-1] < 2.0
    pools.conn.execute("SELECT pg_sleep(%s)", [pools.waits[-1]])
    assert pools.claim()
