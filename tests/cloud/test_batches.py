"""Calls that may wait go in batches: for half the price, each recorded once, whatever happens."""

import base64
import json
from typing import Any

import pytest

from lmx.workflows.allowances.audit import check_allowances
from lmx.workflows.allowances.rules import Allowance, set_allowance
from lmx.workflows.budgets import check_budgets
from lmx.workflows.control import cancel
from lmx.workflows.errors import InvalidInput
from lmx.workflows.pools import list_pools
from lmx.workflows.views import get_task, model_calls
from tests.support.batches import POOLS, StartLane
from tests.support.media import png
from tests.support.rehearsed import Rehearsed

USD = 1_000_000_000


@pytest.mark.parametrize("provider", POOLS)
def test_calls_that_may_wait_go_together_for_half_the_price(
    start: StartLane, provider: str
) -> None:
    lane = start(provider)
    tasks = [lane.ask(budget={"usd": USD}) for _ in range(3)]
    lane.round()
    (batch,) = lane.batches()
    assert (batch.state, batch.calls, batch.waiting) == ("processing", 3, 3)
    lane.round()
    for task in tasks:
        view = get_task(lane.database, task)
        assert view.state == "succeeded"
        assert view.usage is not None
        assert view.usage["batch"] == batch.id
        prices = {"anthropic": (100, 500), "gemini": (750, 3750)}[provider]
        full = view.usage["prompt_tokens"] * prices[0] + view.usage["completion_tokens"] * prices[1]
        assert view.usage["cost"] == -(-full // 2)
        assert [(b.spent, b.held) for b in view.budgets] == [(view.usage["cost"], 0)]
    (batch,) = lane.batches()
    assert (batch.state, batch.succeeded, batch.waiting) == ("ended", 3, 0)
    assert check_budgets(lane.database) == []


@pytest.mark.parametrize("provider", POOLS)
def test_an_image_goes_with_its_call_into_the_batch(
    start: StartLane, rehearsed: Rehearsed, provider: str
) -> None:
    lane = start(provider)
    data = base64.b64encode(png()).decode()
    content = [{"type": "image", "data": data}, {"type": "text", "text": "What is it?"}]
    task = lane.ask(prompt=None, messages=[{"role": "user", "content": content}])
    lane.round(2)
    assert get_task(lane.database, task).state == "succeeded"
    sent = json.dumps([body for body in rehearsed.requests() if "What is it?" in json.dumps(body)])
    assert data in sent or data.replace("+", "-").replace("/", "_") in sent


def test_a_call_in_a_batch_is_held_by_nobody_and_says_what_it_waits_for(
    start: StartLane, rehearsed: Rehearsed
) -> None:
    rehearsed.pace_batches(seconds=3600)
    lane = start()
    task = lane.ask(budget={"usd": USD})
    lane.round()
    view = get_task(lane.database, task)
    assert (view.state, view.worker, view.deadline) == ("parked", None, None)
    (held,) = [b.held for b in view.budgets]
    assert 0 < held < USD
    batched = model_calls(lane.database, task)[task].batch
    assert batched is not None
    assert batched.id == lane.batches()[0].id
    assert batched.until is not None
    assert batched.since is not None
    assert 23 < (batched.until - batched.since).total_seconds() / 3600 < 25
    with lane.database.connect() as conn:
        pools = {pool.name: pool for pool in list_pools(conn)}
    assert pools["anthropic/default/haiku:batch"].running == 1
    assert all(limit.used == 0 for limit in pools["anthropic/default/haiku"].limits)


def test_calls_wait_for_others_for_a_while(start: StartLane) -> None:
    lane = start(wait_s=30.0, enough=3)
    task = lane.ask()
    assert 29 < lane.round() <= 30
    assert lane.batches() == []
    assert model_calls(lane.database, task)[task].batch is not None
    lane.ask()
    lane.ask()
    lane.round()
    assert [batch.calls for batch in lane.batches()] == [3]


def test_a_call_that_fails_in_its_batch_costs_nothing_and_tries_again(
    start: StartLane, rehearsed: Rehearsed
) -> None:
    lane = start()
    task = lane.ask(budget={"usd": USD})
    rehearsed.fail({"kind": "batch_errored"})
    lane.round(2)
    view = get_task(lane.database, task)
    assert (view.state, view.attempts) == ("scheduled", 1)
    assert [(b.spent, b.held) for b in view.budgets] == [(0, 0)]
    lane.row("UPDATE lmx.tasks SET state = 'ready', run_at = NULL RETURNING id")
    lane.round(2)
    assert get_task(lane.database, task).state == "succeeded"
    assert check_budgets(lane.database) == []


def test_a_request_that_cannot_be_served_fails_alone(
    start: StartLane, rehearsed: Rehearsed
) -> None:
    lane = start()
    tasks = [lane.ask() for _ in range(3)]
    rehearsed.fail({"kind": "batch_invalid"})
    lane.round(2)
    views = [get_task(lane.database, task) for task in tasks]
    assert sorted(view.state for view in views) == ["failed", "succeeded", "succeeded"]
    (failed,) = [view.error for view in views if view.error]
    assert failed["kind"] == "invalid_request"


def test_an_expired_batch_is_sent_again(start: StartLane, rehearsed: Rehearsed) -> None:
    rehearsed.pace_batches(seconds=3600, expires_s=0.001)
    lane = start()
    task = lane.ask(budget={"usd": USD})
    lane.round(2)
    view = get_task(lane.database, task)
    assert view.state == "scheduled"
    assert view.error is not None
    assert view.error["kind"] == "batch_expired"
    assert [(b.spent, b.held) for b in view.budgets] == [(0, 0)]


@pytest.mark.parametrize("fault", ["overloaded", "rate_limited", "billing"])
def test_what_the_provider_does_not_take_waits_in_its_queue_again(
    start: StartLane, rehearsed: Rehearsed, fault: str
) -> None:
    lane = start()
    task = lane.ask(budget={"usd": USD})
    rehearsed.fail({"kind": fault, "count": 2})
    lane.round()
    view = get_task(lane.database, task)
    assert (view.state, view.attempts, view.deliveries) == ("ready", 0, 0)
    assert [(b.spent, b.held) for b in view.budgets] == [(0, 0)]
    assert {batch.state for batch in lane.batches()} == {"refused"}
    lane.round(2)
    with lane.database.connect() as conn:
        pool = next(p for p in list_pools(conn) if p.name.endswith("haiku:batch"))
    assert pool.waits_for
    rehearsed.fail()
    lane.row("UPDATE lmx.pools SET state = '{}', next_at = NULL RETURNING id")
    lane.round(2)
    assert get_task(lane.database, task).state == "succeeded"


def test_a_batch_that_is_too_much_is_halved_until_the_guilty_call_stands_alone(
    start: StartLane, rehearsed: Rehearsed
) -> None:
    lane = start()
    tasks = [lane.ask() for _ in range(2)]
    lane.hands.conn.execute("UPDATE lmx.tasks SET rank = id")
    provider = lane.provider
    sent: list[int] = []
    create = provider.create

    async def picky(name: str, model: str, requests: Any) -> Any:
        sent.append(len(requests))
        if any(str(tasks[1]) in one["custom_id"].split("-") for one in requests):
            requests = [*requests, *requests]  # its ids stand twice, which the provider refuses
        return await create(name, model, requests)

    provider.create = picky  # type: ignore[method-assign]
    lane.round(3)
    states = [get_task(lane.database, task).state for task in tasks]
    assert states == ["succeeded", "failed"]
    assert sent == [2, 1, 1]


def test_results_are_recorded_once_however_often_they_are_read(
    start: StartLane, rehearsed: Rehearsed
) -> None:
    lane = start()
    tasks = [lane.ask(budget={"usd": USD}) for _ in range(3)]
    lane.round()
    lane.round()
    spent = lane.row("SELECT sum(amount) FROM lmx.charges")
    lane.row(
        "UPDATE lmx.batches SET state = 'processing', next_at = now(), ended_at = NULL RETURNING id"
    )
    lane.round()
    assert lane.row("SELECT sum(amount) FROM lmx.charges") == spent
    assert {get_task(lane.database, task).state for task in tasks} == {"succeeded"}


def test_what_the_provider_keeps_is_limited(start: StartLane, rehearsed: Rehearsed) -> None:
    rehearsed.pace_batches(seconds=3600)
    lane = start(queued_calls=2, max_calls=10)
    for _ in range(3):
        lane.ask()
    lane.round(2)
    assert [batch.calls for batch in lane.batches()] == [2]
    with lane.database.connect() as conn:
        pool = next(p for p in list_pools(conn) if p.name.endswith("haiku:batch"))
    assert pool.waits_for == "2 of 2 calls are in batches at the provider"
    rehearsed.pace_batches(seconds=0)
    lane.round(2)
    assert [batch.calls for batch in lane.batches()] == [1, 2]


def test_batches_are_paid_out_of_allowances(start: StartLane, rehearsed: Rehearsed) -> None:
    rehearsed.pace_batches(seconds=3600)
    lane = start()
    first = lane.ask()
    worst = lane.row("SELECT (costs ->> 'usd')::bigint FROM lmx.calls")[0]
    with lane.database.connect() as conn:
        set_allowance(conn, Allowance("anthropic/default", "usd", "day", "UTC", worst))
    lane.round()
    second = lane.ask()
    lane.round()
    assert get_task(lane.database, second).state == "ready"  # what is held may come back
    assert check_allowances(lane.database) == []
    cancel(lane.database, first)
    assert check_allowances(lane.database) == []
    rehearsed.pace_batches(seconds=0)
    lane.round(2)
    assert get_task(lane.database, second).state == "scheduled"  # until the next day
    assert lane.row("SELECT sum(amount) < %s FROM lmx.allowance_charges", worst) == (True,)
    assert check_allowances(lane.database) == []


def test_a_route_s_model_may_wait_for_a_batch(start: StartLane) -> None:
    lane = start()
    task = lane.client.generate(
        route="bulk", prompt="Count.", max_tokens=50, when="cheap", budget={"usd": USD}
    )
    decided = "SELECT t.queue, d.again_at FROM lmx.tasks t JOIN lmx.decisions d ON d.task_id = t.id"
    assert lane.row(decided) == ("anthropic/default:batch", None)
    lane.round(2)
    assert get_task(lane.database, task).state == "succeeded"


def test_a_batch_is_not_promised_within_less_than_a_day(start: StartLane) -> None:
    lane = start()
    with pytest.raises(InvalidInput, match="a batch may take 24 h"):
        lane.ask(timeout=3600)
    with pytest.raises(InvalidInput, match="when is 'soon'"):
        lane.ask(when="soon")
    assert lane.ask(timeout=100_000)
