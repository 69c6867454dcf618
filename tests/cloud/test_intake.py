"""The claim of cloud calls: pools are independent, exact, and shared by all processes."""

import math

import pytest

from lmx.workers.cloud.turn import AHEAD_S
from lmx.workflows.pools import list_pools, place_calls
from tests.support.pools import CLOUD, Pools, hourly


def test_slots_that_other_pools_leave_are_filled_at_once(pools: Pools) -> None:
    """A claim looks at a few calls of each pool, and asks again for more."""
    for group in ("haiku", "flash"):
        pools.call(pools.pool(group, hourly(1)), 10)
    free = pools.pool("pro", hourly(1000))
    tasks = pools.call(free, 10)
    first = pools.claim(slots=9)
    assert len(first) == 8
    assert pools.waits[-1] < 0.1
    second = pools.claim(slots=1)
    assert [lease.task_id for lease in (*first, *second) if lease.task_id in tasks] == tasks[:7]


def test_a_pool_lets_through_what_its_limit_allows_and_no_more(pools: Pools) -> None:
    pool = pools.pool("haiku", hourly(3))
    tasks = pools.call(pool, 5)
    assert [lease.task_id for lease in pools.claim()] == tasks[:3]
    assert pools.claim() == []
    assert 0 < pools.waits[0] <= 3700


def test_several_processes_share_a_pool(pools: Pools) -> None:
    pool = pools.pool("haiku", hourly(3))
    pools.call(pool, 5)
    other = pools.another()
    assert len(pools.claim(slots=2)) == 2
    assert len(pools.claim(intake=other)) == 1


def test_a_throttled_pool_delays_no_other(pools: Pools) -> None:
    full, free = pools.pool("opus", hourly(1)), pools.pool("haiku", hourly(100))
    pools.call(full, 50)
    tasks = pools.call(free, 10)
    assert [lease.task_id for lease in pools.claim(slots=16)][1:] == tasks


def test_no_pool_takes_the_slots_that_another_can_use(pools: Pools) -> None:
    first, second = pools.pool("opus", hourly(100)), pools.pool("haiku", hourly(100))
    pools.call(first, 50)
    pools.call(second, 50)
    pools.claim(slots=10)
    assert pools.used("opus") == pools.used("haiku") == {"requests/h": 5}


def test_a_pool_that_waits_is_left_alone_until_it_may_go_on(pools: Pools) -> None:
    pool = pools.pool("haiku", {**hourly(1), "period_s": 0.2, "jitter_s": 0.0})
    pools.call(pool, 2)
    lease = pools.claim()[0]
    updated = "SELECT updated_at FROM lmx.pools"
    left_at = pools.hands.value(updated)
    assert pools.claim() == []
    assert pools.hands.value(updated) == left_at
    pools.finish(lease)
    pools.conn.execute("SELECT pg_sleep(%s)", [max(pools.waits)])
    assert len(pools.claim()) == 1


def test_the_tokens_that_a_call_really_used_replace_the_estimate(pools: Pools) -> None:
    pool = pools.pool("haiku", hourly(1000, "input_tokens"))
    pools.call(pool, 2, input_tokens=900)
    lease = pools.claim()[0]
    assert pools.claim() == []
    real = {"real": {"requests": 1, "input_tokens": 100}}
    pools.finish(lease, {"kind": "used", "data": real}, {"kind": "succeeded", "data": {}})
    assert pools.used("haiku") == {"input_tokens/h": 100}
    assert len(pools.claim()) == 1
    learnt = math.ceil(900 * (2 * 0.98 * 900 + 100) / (2 * 0.98 * 900 + 900))
    assert pools.used("haiku") == {"input_tokens/h": 100 + learnt}


def test_a_zombie_tells_a_pool_nothing(pools: Pools) -> None:
    pool = pools.pool("haiku", hourly(1000, "input_tokens"))
    pools.call(pool, 1, input_tokens=900)
    lease = pools.claim()[0]
    news = {"kind": "used", "data": {"real": {"input_tokens": 0}}}
    pools.finish(lease, news, seq=lease.seq + 1)
    assert pools.used("haiku") == {"input_tokens/h": 900}


def test_a_refusal_stops_the_pool_for_all_processes(pools: Pools) -> None:
    pool = pools.pool("haiku", hourly(1000))
    pools.call(pool, 9)
    lease = pools.claim(slots=1)[0]
    pools.finish(lease, {"kind": "refused", "data": {"retry_after": 30}})
    assert pools.claim(intake=pools.another()) == []
    view = list_pools(pools.conn)[0]
    assert view.waits_for == "the provider asked for a pause"
    assert view.next_in_s == pytest.approx(30, abs=2)


def test_a_call_that_no_limit_can_ever_hold_is_claimed_to_fail(pools: Pools) -> None:
    pool = pools.pool("haiku", hourly(1000, "input_tokens"))
    large = pools.call(pool, 1, input_tokens=1001)
    small = pools.call(pool, 1, input_tokens=10)
    assert [lease.task_id for lease in pools.claim()] == [*large, *small]
    reason = "it needs 1001 of input_tokens/h, of which there are 1000"
    assert pools.intake.place(large[0]).never == reason
    assert pools.intake.place(small[0]).never is None
    assert pools.used("haiku") == {"input_tokens/h": 10}


def test_a_faster_clock_counts_faster(pools: Pools) -> None:
    pool = pools.pool("haiku", hourly(1), clock_rate=60.0)
    pools.call(pool, 2)
    assert len(pools.claim()) == 1
    pools.claim()
    assert max(pools.waits) <= 3700 / 60


def test_a_waiting_call_can_move_to_another_pool(pools: Pools) -> None:
    full, free = pools.pool("opus", hourly(1)), pools.pool("haiku", hourly(100))
    tasks = pools.call(full, 2)
    assert len(pools.claim()) == 1
    rows = [{"id": t, "pool_id": free, "model": "n", "costs": {"requests": 1}} for t in tasks]
    with pools.conn.transaction():
        assert place_calls(pools.conn, rows) == 1, "the running one stays"
    assert [lease.task_id for lease in pools.claim()] == tasks[1:]


def test_a_paused_queue_and_a_dead_worker_get_nothing(pools: Pools) -> None:
    pool = pools.pool("haiku", hourly(10))
    pools.call(pool, 2)
    pools.conn.execute("UPDATE lmx.queues SET paused = true WHERE name = %s", [CLOUD])
    assert pools.claim() == []
    pools.conn.execute("UPDATE lmx.queues SET paused = false WHERE name = %s", [CLOUD])
    pools.conn.execute("UPDATE lmx.workers SET stopped_at = now()")
    assert pools.claim() == []


def test_a_call_is_claimed_shortly_before_it_may_start_and_charged_for_then(pools: Pools) -> None:
    period = 0.6 * AHEAD_S
    pools.call(pools.pool("haiku", {**hourly(1), "period_s": period, "jitter_s": 0.0}), 3)
    first, second = (pools.intake.place(lease.task_id) for lease in pools.claim())
    assert second.starts - first.starts == pytest.approx(period, abs=0.001)
    assert second.charged - first.charged == pytest.approx(period, abs=0.001)
    charged = "SELECT max(charged_at) - min(charged_at) FROM lmx.calls"
    assert pools.hands.value(charged) == pytest.approx(period, abs=0.001)
    assert 0.0 < pools.waits[-1] < 2 * period


def test_a_pool_is_asked_again_before_its_next_call_may_start(pools: Pools) -> None:
    pool = pools.pool("haiku", {**hourly(1), "period_s": 1.0, "jitter_s": 0.0})
    pools.call(pool, 2)
    assert len(pools.claim()) == 1
    assert pools.claim(intake=pools.another()) == []
    for wait in pools.waits:
        assert 1.0 - AHEAD_S < wait < 1.0


def test_nobody_waits_for_a_process_that_claims_from_a_pool_just_now(pools: Pools) -> None:
    pools.call(pools.pool("haiku", hourly(3)), 1)
    tasks = pools.call(pools.pool("flash", hourly(3)), 1)
    with pools.hands.database.connect() as busy, busy.transaction():
        busy.execute("SELECT FROM lmx.pools WHERE name LIKE '%haiku' FOR NO KEY UPDATE")
        assert [lease.task_id for lease in pools.claim()] == tasks
        assert pools.waits[-1] < 0.1, "and asks that one again soon"


def test_the_end_of_a_call_wakes_workers_only_if_another_may_start_sooner(pools: Pools) -> None:
    requests, tokens = hourly(2), hourly(1000, "input_tokens")
    pool = pools.pool("haiku", requests, tokens)
    pools.call(pool, 3, input_tokens=100)
    first, second = pools.claim()
    real = {"requests": 1, "input_tokens": 50}
    heard = pools.heard()
    pools.finish(first, {"kind": "used", "data": {"real": real}})
    assert heard() == 0, "requests are what the third waits for"
    pools.hands.conn.execute("UPDATE lmx.pools SET waits_for = 'input_tokens/h: 950 of 1000 used'")
    pools.finish(second, {"kind": "used", "data": {"real": real}})
    assert heard() == 1
