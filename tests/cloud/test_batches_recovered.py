"""A batch is sent once and recorded once, wherever a process dies or an answer is lost."""

import asyncio
from typing import Any

import pytest

from lmx.workers.cloud.errors import Failure, ProviderError
from lmx.workflows import faults
from lmx.workflows.budgets import check_budgets
from lmx.workflows.database.connect import Database
from lmx.workflows.views import get_task
from tests.support.batches import POOLS, StartLane
from tests.support.rehearsed import Rehearsed

USD = 1_000_000_000


@pytest.mark.parametrize("provider", POOLS)
@pytest.mark.parametrize("fault", ["lost", "malformed"])
def test_a_batch_whose_answer_was_lost_is_found_and_not_sent_twice(
    start: StartLane, rehearsed: Rehearsed, provider: str, fault: str
) -> None:
    lane = start(provider)
    tasks = [lane.ask(budget={"usd": USD}) for _ in range(2)]
    before = rehearsed.counts(POOLS[provider]).get("batches", 0)
    rehearsed.fail({"kind": fault})
    lane.round()
    assert [batch.state for batch in lane.batches()] == ["sending"]
    lane.round(3)
    assert [get_task(lane.database, task).state for task in tasks] == ["succeeded"] * 2
    assert rehearsed.counts(POOLS[provider])["batches"] == before + 1
    assert [batch.state for batch in lane.batches()] == ["ended"]
    assert check_budgets(lane.database) == []


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(
    ("provider", "point"),
    [
        ("anthropic", "batch.before"),
        ("anthropic", "batch.after"),
        ("anthropic", "send_batch.before"),
        ("gemini", "send_batch.before"),
        ("anthropic", "send_batch.after"),
        ("anthropic", "record_batch.before"),
        ("anthropic", "record_batch.after"),
    ],
)
def test_whoever_is_alive_goes_on_where_another_has_died(
    start: StartLane,
    rehearsed: Rehearsed,
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    point: str,
) -> None:
    victim, heir = start(provider), start(provider)
    tasks = [victim.ask(budget={"usd": USD}) for _ in range(3)]
    before = rehearsed.counts(POOLS[provider]).get("batches", 0)

    def die(kinds: Any, when: str) -> None:
        if point in {f"{kind}.{when}" for kind in kinds}:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(faults, "points", die)
        with pytest.raises(Killed):
            victim.round(2)
    victim.dies()
    heir.round(4)
    assert {get_task(heir.database, task).state for task in tasks} == {"succeeded"}
    assert rehearsed.counts(POOLS[provider])["batches"] == before + 1
    assert heir.row("SELECT count(*), count(DISTINCT task_id) FROM lmx.charges") == (3, 3)
    assert check_budgets(heir.database) == []


def test_a_batch_that_somebody_else_has_sent_meanwhile_is_cancelled(
    start: StartLane, rehearsed: Rehearsed
) -> None:
    rehearsed.pace_batches(seconds=3600)
    sleeper, heir = start(), start()
    task = sleeper.ask()
    before = rehearsed.counts("haiku").get("batches", 0)
    create, sent = sleeper.provider.create, []

    async def late(name: str, model: str, requests: Any) -> Any:
        sent.append(await create(name, model, requests))
        # Meanwhile others have taken it for dead, and have sent the batch themselves.
        heir.hands.conn.execute(
            "UPDATE lmx.batches SET state = 'processing', provider_id = 'another', worker_id = NULL"
        )
        return sent[-1]

    sleeper.provider.create = late  # type: ignore[method-assign]
    sleeper.round()
    assert rehearsed.counts("haiku")["batches"] == before + 1
    assert sleeper.look(sent[-1].id).ended  # it was cancelled
    assert get_task(heir.database, task).state == "parked"


def test_a_batch_that_somebody_else_has_found_meanwhile_goes_on(
    start: StartLane, rehearsed: Rehearsed
) -> None:
    rehearsed.pace_batches(seconds=3600)
    sleeper, heir = start("gemini"), start("gemini")
    task = sleeper.ask()
    create = sleeper.provider.create

    async def late(name: str, model: str, requests: Any) -> Any:
        sent = await create(name, model, requests)
        sleeper.dies()
        await asyncio.to_thread(heir.round, 2)
        return sent

    sleeper.provider.create = late  # type: ignore[method-assign]
    sleeper.round()
    (batch,) = heir.batches()
    assert batch.provider_id is not None
    assert not sleeper.look(batch.provider_id).ended
    rehearsed.pace_batches(seconds=0)
    heir.round()
    assert get_task(heir.database, task).state == "succeeded"


def test_a_refusal_that_comes_too_late_gives_nothing_back(
    start: StartLane, rehearsed: Rehearsed
) -> None:
    rehearsed.pace_batches(seconds=3600)
    sleeper, heir = start("gemini"), start("gemini")
    task = sleeper.ask()

    async def late(name: str, model: str, requests: Any) -> Any:
        sleeper.dies()
        await asyncio.to_thread(heir.round, 2)
        raise ProviderError(Failure.RATE_LIMITED, "not now")

    sleeper.provider.create = late  # type: ignore[method-assign]
    sleeper.round()
    assert [batch.state for batch in heir.batches()] == ["processing"]
    assert get_task(heir.database, task).state == "parked"


def test_a_stranger_s_batch_of_the_same_size_is_not_taken_for_ours(
    start: StartLane, rehearsed: Rehearsed, database: Database
) -> None:
    stranger, lane = start(), start()
    theirs = stranger.ask()
    stranger.round()
    # As if another installation had sent it with the same key: our rows know nothing of it.
    lane.row("DELETE FROM lmx.batch_calls RETURNING task_id")
    lane.row("DELETE FROM lmx.batches RETURNING id")
    mine = lane.ask()
    rehearsed.fail({"kind": "server_error"})
    lane.round()
    assert [batch.state for batch in lane.batches()] == ["sending"]
    lane.round(3)
    assert get_task(database, mine).state == "succeeded"
    assert get_task(database, theirs).state == "parked"


def test_our_own_batches_of_other_models_are_not_looked_into(
    start: StartLane, rehearsed: Rehearsed
) -> None:
    rehearsed.pace_batches(seconds=3600)
    lane = start()
    lane.ask()
    lane.round()
    lane.row("UPDATE lmx.batches SET pool_id = (SELECT max(id) FROM lmx.pools) RETURNING id")
    task = lane.ask()
    rehearsed.fail({"kind": "server_error"})
    lane.round(3)
    assert [batch.state for batch in lane.batches()] == ["processing", "processing"]
    assert get_task(lane.database, task).state == "parked"
