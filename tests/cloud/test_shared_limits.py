"""Limits that all model groups of an account share: Gemini's dollars in ten minutes."""

import asyncio
from collections.abc import Iterator

import pytest

from lmx.workers.cloud.answer import Question
from lmx.workers.cloud.errors import Failure, ProviderError
from lmx.workers.gemini import connect
from lmx.workflows.pools import list_pools
from lmx.workflows.providers.catalog import Account
from lmx.workflows.providers.keys import Key
from tests.support.pools import Pools, hourly
from tests.support.rehearsed import FLASH, KEY, Rehearsed, profile

LITE = "gemini-3.5-flash-lite"


@pytest.fixture
def project(pools: Pools) -> tuple[int, int]:
    """Two model groups with $10 an hour together."""
    shared = pools.pool("*", hourly(10, "usd"))
    return (
        pools.pool("flash", hourly(100), shared=shared),
        pools.pool("lite", hourly(100), shared=shared),
    )


def test_what_one_group_uses_the_other_has_not(pools: Pools, project: tuple[int, int]) -> None:
    flash, lite = project
    pools.call(flash, 4, usd=2)
    pools.call(lite, 4, usd=2)
    leases = pools.claim()
    assert len(leases) == 5
    assert pools.used("*") == {"usd/h": 10}
    assert pools.claim(intake=pools.another()) == []
    waiting = {pool.name: pool.waits_for for pool in list_pools(pools.conn) if pool.ready}
    assert set(waiting.values()) == {"usd/h: 10 of 10 used"}


def test_what_a_call_really_cost_counts_for_all(pools: Pools, project: tuple[int, int]) -> None:
    flash, lite = project
    pools.call(flash, 1, usd=10)
    (lease,) = pools.claim()
    tasks = pools.call(lite, 2, usd=4)
    assert pools.claim() == []
    pools.finish(lease, {"kind": "used", "data": {"real": {"requests": 1, "usd": 3}}})
    assert pools.used("*") == {"usd/h": 3}
    pools.ripen()
    assert [one.task_id for one in pools.claim()] == tasks[:1]
    assert pools.used("*") == {"usd/h": 7}
    assert pools.used("flash") == {"requests/h": 1}


def test_a_refusal_for_what_is_shared_stops_all_groups(
    pools: Pools, project: tuple[int, int]
) -> None:
    flash, lite = project
    pools.call(flash, 1, usd=1)
    (lease,) = pools.claim()
    refusal = {"retry_after": 30, "limit": "usd/h"}
    pools.finish(lease, {"kind": "refused", "data": refusal})
    pools.call(lite, 1, usd=1)
    assert pools.claim() == []
    waiting = next(pool for pool in list_pools(pools.conn) if pool.ready)
    assert waiting.waits_for == "the provider asked for a pause"
    assert waiting.next_in_s == pytest.approx(30, abs=2)


def test_a_call_that_what_is_shared_can_never_hold_is_claimed_to_fail(
    pools: Pools, project: tuple[int, int]
) -> None:
    (task,) = pools.call(project[0], 1, usd=11)
    assert [lease.task_id for lease in pools.claim()] == [task]
    assert pools.intake.place(task).never == "it needs 11 of usd/h, of which there are 10"


@pytest.fixture
def shop() -> Iterator[Rehearsed]:
    """A provider of two models in one project that may spend next to nothing in ten minutes."""
    dollars = {"name": "dollars/10min", "of": "usd", "kind": "window", "limit": 1, "period_s": 600}
    served = profile({FLASH: "flash", LITE: "lite"})
    for pool in served["pools"].values():
        pool["shared"] = "project"
    with Rehearsed({**served, "shared": {"project": {"limits": [dollars]}}}) as server:
        yield server


def test_the_provider_counts_dollars_over_all_models_of_a_project(shop: Rehearsed) -> None:
    async def ask(model: str) -> None:
        gemini = connect(Account("gemini", "default", base_url=shop.url), Key(KEY))
        try:
            question = Question(model, [{"role": "user", "content": "Count."}], 64)
            await gemini.ask(question, lambda _: None)
        finally:
            await gemini.close()

    asyncio.run(ask(FLASH))
    with pytest.raises(ProviderError) as refused:
        asyncio.run(ask(LITE))
    assert refused.value.failure is Failure.RATE_LIMITED
    assert refused.value.limit == "dollars/10min"
