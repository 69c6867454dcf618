"""Calls by a route: a model is chosen, planned, paid for and written down with the call."""

import pytest

from lmx.workflows.errors import ConfigError, Conflict, InvalidInput, NotFound, Refused
from tests.support.routes import Routes

HAIKU, FLASH = "anthropic/default/haiku", "gemini/default/flash"
TWO = """
[[rule]]
name = "two"
route = "r"
models = ["claude-haiku-5-5", "gemini-3.8-flash"]
max_wait = "30s"
[[rule]]
name = "patient"
route = "patient"
models = ["claude-haiku-5-5", "gemini-3.8-flash"]
"""


def test_a_route_chooses_places_and_records(routes: Routes) -> None:
    routes.rules(TWO)
    task = routes.ask(labels={"team": "search"}, budget={"usd": 1_000_000_000})
    assert routes.where(task) == ("anthropic", HAIKU, "claude-haiku-5-5")
    (decision,) = routes.decisions(task)
    assert (decision.reason, decision.rule, decision.model) == (
        "submitted",
        "two",
        "claude-haiku-5-5",
    )
    assert decision.features["labels"] == {"team": "search"}
    assert [one["verdict"] for one in decision.candidates] == ["chosen", "in"]
    reserve = routes.hands.value("SELECT reserve FROM lmx.budgets WHERE task_id = %s", task)
    assert reserve == decision.cost > 0


def test_an_open_breaker_diverts_only_where_the_rule_allows_it(routes: Routes) -> None:
    routes.rules(TWO)
    routes.break_(HAIKU)
    diverted, patient = routes.ask(), routes.ask("patient")
    assert routes.where(diverted)[1] == FLASH
    assert routes.where(patient)[1] == HAIKU
    passed = routes.decisions(diverted)[0].candidates[0]
    assert passed["verdict"] == "passed over"
    assert "the breaker is open (billing)" in passed["reason"]


def test_a_pool_whose_answers_are_rejected_is_avoided_by_every_rule(routes: Routes) -> None:
    routes.rules(TWO)
    for _ in range(3):
        routes.news(HAIKU, "judged", {"accepted": False})
    task = routes.ask("patient")
    assert routes.where(task)[1] == FLASH
    assert routes.decisions(task)[0].candidates[0]["reason"] == "its last answers were rejected"
    named = routes.client.generate(model="claude-haiku-5-5", prompt="Count.")
    assert routes.where(named)[1] == HAIKU


def test_a_paused_queue_is_avoided(routes: Routes) -> None:
    routes.rules(TWO)
    routes.conn.execute("UPDATE lmx.queues SET paused = true WHERE name = 'anthropic'")
    assert routes.where(routes.ask("patient"))[1] == FLASH


def test_a_backlog_diverts_before_it_grows(routes: Routes) -> None:
    routes.rules(TWO)
    pools = [routes.where(routes.ask())[1] for _ in range(60)]
    assert pools[0] == HAIKU
    assert FLASH in pools, "50 requests a minute do not let 60 start within 30 s"
    assert 25 < pools.index(FLASH) < 45


def test_a_crowded_subscription_diverts(routes: Routes) -> None:
    routes.rules(TWO)
    share = '[{"name": "5 hours", "of": "requests", "kind": "share", "period_s": 18000}]'
    routes.conn.execute("UPDATE lmx.pools SET limits = %s WHERE name = %s", [share, HAIKU])
    told = {"remaining": 500_000, "limit": 1_000_000, "resets_at": 4e9}
    routes.news(HAIKU, "told", {"limits": {"5 hours": told}})
    assert routes.where(routes.ask())[1] == FLASH
    assert routes.where(routes.ask("patient"))[1] == HAIKU


def test_what_is_private_stays_on_local_models(routes: Routes) -> None:
    routes.rules(TWO)
    with pytest.raises(Refused, match="no local model is registered"):
        routes.ask("research", private=True)
    with pytest.raises(Refused, match="the call is private"):
        routes.ask(private=True)
    with pytest.raises(Refused, match="is a cloud model"):
        routes.client.generate(model="claude-haiku-5-5", prompt="x", private=True)
    name = routes.local()
    assert routes.where(routes.ask("research", private=True)) == ("gpu", None, name)
    assert routes.where(routes.ask(None, private=True)) == ("gpu", None, name)


def test_a_small_budget_takes_what_it_can_pay_for(routes: Routes) -> None:
    routes.rules('[[rule]]\nname="d"\nroute="r"\nmodels=["claude-opus-5-5", "claude-haiku-5-5"]')
    assert routes.where(routes.ask())[2] == "claude-opus-5-5"
    cheap = routes.ask(budget={"usd": 100_000})
    assert routes.where(cheap)[2] == "claude-haiku-5-5"
    assert "more than the budget" in routes.decisions(cheap)[0].candidates[1]["reason"]
    with pytest.raises(Refused, match="more than the budget"):
        routes.ask(budget={"usd": 10})


def test_a_repeat_is_the_same_request_wherever_it_would_go_now(routes: Routes) -> None:
    routes.rules(TWO)
    task = routes.ask(idempotency_key="k")
    routes.break_(HAIKU)
    assert routes.ask(idempotency_key="k") == task
    assert len(routes.decisions(task)) == 1
    with pytest.raises(Conflict):
        routes.ask("patient", idempotency_key="k")


def test_contradictions_and_unknown_routes_are_refused(routes: Routes) -> None:
    with pytest.raises(InvalidInput, match="either a model or a route"):
        routes.ask("research", model="claude-haiku-5-5")
    with pytest.raises(InvalidInput, match="name a model or a route"):
        routes.ask(None)
    with pytest.raises(NotFound, match="there is no route 'nope'"):
        routes.ask("nope")
    with pytest.raises(InvalidInput, match="is not a label"):
        routes.ask("research", labels={"a b": "c"})
    routes.rules("[[rule]]\n")
    with pytest.raises(ConfigError, match=r"routes\.toml:1: rule 1"):
        routes.ask("research")
    assert routes.hands.value("SELECT count(*) FROM lmx.tasks") == 0


def test_what_may_wait_goes_in_a_batch_for_half_the_price_and_stays_there(routes: Routes) -> None:
    routes.rules(TWO)
    routes.break_(HAIKU)
    task = routes.ask(when="cheap", timeout=200_000)
    assert routes.where(task)[1] == f"{HAIKU}:batch", "a batch waits for no minute's limit"
    half, full = routes.decisions(task)[0].cost, routes.decisions(routes.ask("patient"))[0].cost
    assert half < 0.6 * full
    assert routes.reroute() == 0
    with pytest.raises(Refused, match="until its deadline"):
        routes.ask(when="cheap", timeout=60)


def test_outcomes_stand_beside_decisions(routes: Routes) -> None:
    routes.rules(TWO)
    task = routes.ask()
    routes.conn.execute(
        "UPDATE lmx.tasks SET state = 'succeeded', finished_at = now(), output = %s, usage = %s"
        " WHERE id = %s",
        ['{"finish_reason": "stop"}', '{"cost": 7, "prompt_tokens": 3}', task],
    )
    outcome = routes.conn.execute(
        "SELECT rule, model, last, finish_reason, spent, prompt_tokens FROM lmx.decision_outcomes"
    ).fetchall()
    assert outcome == [("two", "claude-haiku-5-5", True, "stop", 7, 3)]
