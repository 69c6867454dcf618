"""A call that has failed for good for a reason of its model goes to the next one, once, whole."""

from typing import Any

import pytest

from lmx.workers.cloud import outcome
from lmx.workers.cloud.errors import Failure, by_provider
from lmx.workflows.budgets import check_budgets
from lmx.workflows.control import cancel
from lmx.workflows.lease import Lease
from lmx.workflows.routing import moving
from lmx.workflows.routing.diverting import divert
from tests.routing.test_rerouting import ceilings, spawned
from tests.routing.test_submission import FLASH, HAIKU, TWO
from tests.support.routes import Routes

SAID = "the provider refuses the key: 401"
BUDGET = {"usd": 1_000_000_000}


@pytest.fixture
def two(routes: Routes) -> Routes:
    routes.rules(TWO)
    return routes


def fails(two: Routes, lease: Lease, failure: Failure = Failure.CREDENTIALS) -> bool:
    """Let a call fail; whether it goes elsewhere."""
    back = outcome.elsewhere(lease, by_provider(failure, "401"), 0.1)
    return divert(two.conn, back, SAID)


def everything(two: Routes) -> list[Any]:
    tables = "tasks, lmx.calls, lmx.budgets, lmx.holds, lmx.decisions"
    return two.conn.execute(f"SELECT * FROM lmx.{tables}").fetchall()


def test_it_goes_to_the_next_candidate_with_its_money_and_says_why(two: Routes) -> None:
    task = two.ask(budget=BUDGET)
    assert fails(two, two.take("anthropic"))
    assert two.where(task) == ("gemini", FLASH, "gemini-3.8-flash")
    first, second = two.decisions(task)
    assert (second.reason, second.why) == ("diverted", f"moved from claude-haiku-5-5: {SAID}")
    out = [one["reason"] for one in second.candidates if one["verdict"] == "out"]
    assert out == [f"it has failed: {SAID}"]
    assert two.hands.value("SELECT reserve FROM lmx.budgets") == second.cost != first.cost
    assert two.hands.value("SELECT count(*) FROM lmx.holds") == 0
    assert two.hands.value("SELECT data ->> 'because' FROM lmx.events") == SAID
    broken = "SELECT p.name FROM lmx.pool_news n JOIN lmx.pools p ON p.id = n.pool_id"
    assert two.hands.value(f"{broken} WHERE kind = 'failed'") == HAIKU
    assert two.take("gemini").attempts == 0, "what was refused is no attempt of its own"
    assert check_budgets(two.hands.database) == []


def test_a_child_s_ceiling_follows_it(two: Routes) -> None:
    run, child = spawned(two, 1_000_000_000)
    assert fails(two, two.take("anthropic"))
    cost = two.decisions(child)[1].cost
    assert ceilings(two) == {run: (1_000_000_000, cost), child: (cost, 0)}
    assert check_budgets(two.hands.database) == []


def test_it_fails_where_nothing_is_left(two: Routes) -> None:
    two.ask(budget=BUDGET)
    assert fails(two, two.take("anthropic"))
    lease = two.take("gemini")
    before = everything(two)
    assert not fails(two, lease)
    assert everything(two) == before, "its worker records the failure"


def test_it_never_comes_back_to_where_it_has_failed(two: Routes) -> None:
    task = two.ask()
    assert fails(two, two.take("anthropic"), Failure.UNKNOWN_MODEL)
    two.break_(FLASH)
    assert two.reroute() == 0
    assert two.where(task)[1] == FLASH


def test_it_stays_where_its_rule_does_not_let_it_go(two: Routes) -> None:
    two.ask("patient")
    assert not fails(two, two.take("anthropic"))


def test_it_does_not_wait_for_a_model_that_nobody_serves(two: Routes) -> None:
    two.ask()
    lease = two.take("anthropic")
    two.serve("anthropic")
    assert not fails(two, lease)


def test_a_lease_that_has_passed_changes_nothing(two: Routes) -> None:
    task = two.ask()
    lease = two.take("anthropic")
    cancel(two.hands.database, task)
    before = everything(two)
    assert fails(two, lease), "there is nothing to record"
    assert everything(two) == before


def test_a_kill_in_the_middle_leaves_the_call_where_it_was(
    two: Routes, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.ask(budget=BUDGET)
    lease = two.take("anthropic")
    before = everything(two)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(moving, "record", killed)
    with pytest.raises(KeyboardInterrupt):
        fails(two, lease)
    assert everything(two) == before
