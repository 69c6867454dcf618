"""The decision: pure, so told by tables and by properties."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx.workflows.errors import NotFound
from lmx.workflows.routing.decide import Decision, NobodyCan, Option, choose, decide
from lmx.workflows.routing.features import Features
from lmx.workflows.routing.rules import Rule, Rules, Terms

ALL = frozenset({"tools", "images", "files", "json_schema", "thinking"})
STRONG = Option("strong", "a", False, 1, "a/strong", 10_000, 1_000, ALL, cost=50_000_000)
CHEAP = Option("cheap", "b", False, 2, "b/cheap", 100_000, 1_000, ALL, cost=1_000_000)
HOME = Option("home", "gpu", True, context=4_096, max_output=4_095, features=frozenset({"tools"}))
ALL_OPTIONS = [STRONG, CHEAP, HOME]


PLAIN = Terms()


def by(models: list[str], options: list[Option], terms: Terms = PLAIN, **about: Any) -> Decision:
    return choose(Features(**about), Rule("r", tuple(models), terms), options, "v")


def chosen(*args: Any, **about: Any) -> str | None:
    decision = by(*args, **about)
    return decision.chosen.model if decision.chosen else None


def reasons(decision: Decision) -> dict[str, tuple[str, str]]:
    return {one.model: (one.verdict, one.reason) for one in decision.candidates}


def test_the_first_candidate_that_can_take_it_is_taken() -> None:
    assert chosen(["strong", "cheap"], ALL_OPTIONS) == "strong"
    assert chosen(["nobody", "cheap"], ALL_OPTIONS) == "cheap"
    assert chosen(["local", "cheap"], ALL_OPTIONS) == "home"
    assert chosen(["local:h*"], ALL_OPTIONS) == "home"
    assert chosen(["local:x*"], ALL_OPTIONS) is None


@pytest.mark.parametrize(
    ("about", "option", "reason"),
    [
        ({"private": True}, STRONG, "the call is private"),
        ({"tools": True, "images": True}, HOME, "it lacks images"),
        ({"grammar": True}, STRONG, "it lacks grammar"),
        ({"max_tokens": 2_000}, STRONG, "at most 1000 tokens"),
        ({"prompt_tokens": 9_500, "max_tokens": 900}, STRONG, "its context of 10000 tokens"),
        ({"budget_usd": 0.01}, STRONG, "it can cost $0.05, more than the budget"),
        ({}, replace(STRONG, refused="it can never fit"), "it can never fit"),
    ],
)
def test_what_cannot_take_it_is_out_and_says_why(
    about: dict[str, Any], option: Option, reason: str
) -> None:
    decision = by(["*"], [option], **about)
    assert decision.chosen is None
    verdict, why = reasons(decision)[option.model]
    assert verdict == "out"
    assert reason in why


def test_a_rule_may_say_what_is_too_dear() -> None:
    decision = by(["strong", "cheap"], ALL_OPTIONS, Terms(max_cost=10_000_000))
    assert decision.chosen == CHEAP
    assert "more than the rule's $0.01" in reasons(decision)["strong"][1]


def test_without_divert_a_full_pool_is_waited_for() -> None:
    full = replace(STRONG, wait_s=300.0, waits_for="requests/min")
    assert chosen(["strong", "cheap"], [full, CHEAP]) == "strong"


@pytest.mark.parametrize(
    ("max_wait_s", "expected"), [(0.0, "cheap"), (299.0, "cheap"), (300.0, "strong")]
)
def test_with_divert_a_longer_wait_than_allowed_goes_elsewhere(
    max_wait_s: float, expected: str
) -> None:
    full = replace(STRONG, wait_s=300.0, waits_for="requests/min")
    terms = Terms(divert=True, max_wait_s=max_wait_s)
    assert chosen(["strong", "cheap"], [full, CHEAP], terms) == expected


def test_a_crowded_window_diverts_where_the_rule_allows_it() -> None:
    crowded = replace(STRONG, avoid="much of its 5 hours is used")
    assert chosen(["strong", "cheap"], [crowded, CHEAP], Terms(divert=True)) == "cheap"
    assert chosen(["strong", "cheap"], [crowded, CHEAP]) == "strong"
    assert chosen(["strong"], [crowded], Terms(divert=True)) == "strong"


def test_if_all_are_full_the_shortest_wait_is_taken() -> None:
    first = replace(STRONG, wait_s=300.0, waits_for="requests/min")
    second = replace(CHEAP, wait_s=100.0, waits_for="requests/day")
    decision = by(["strong", "cheap"], [first, second], Terms(divert=True))
    assert decision.chosen == second
    assert reasons(decision)["strong"] == ("passed over", "a wait of 5 min (requests/min)")
    assert "nothing better for now" in decision.why


def test_a_model_without_a_worker_is_only_taken_if_all_are() -> None:
    alone = replace(STRONG, attended=False)
    assert chosen(["strong", "cheap"], [alone, CHEAP]) == "cheap"
    assert chosen(["strong"], [alone]) == "strong"


def test_rejected_answers_are_avoided_even_where_waits_are_not() -> None:
    bad = replace(STRONG, rejected="its last answers were rejected")
    assert chosen(["strong", "cheap"], [bad, CHEAP]) == "cheap"
    assert chosen(["strong", "cheap"], [bad, replace(CHEAP, attended=False)]) == "strong"
    assert chosen(["strong"], [bad]) == "strong"


def test_an_order_by_price_or_by_wait() -> None:
    waits = replace(CHEAP, wait_s=5.0, waits_for="requests/min")
    assert chosen(["strong", "cheap"], [STRONG, waits], Terms(order="price")) == "cheap"
    assert chosen(["cheap", "strong"], [STRONG, waits], Terms(order="wait")) == "strong"


def test_of_several_accounts_the_one_that_is_free_is_taken() -> None:
    other = replace(CHEAP, pool_id=3, pool="b2/cheap")
    full = replace(CHEAP, wait_s=9.0, waits_for="requests/min")
    assert by(["cheap"], [full, other]).chosen == other


def test_who_cannot_be_served_is_told_all_reasons() -> None:
    decision = by(["strong", "nobody", "local"], [STRONG], private=True)
    with pytest.raises(NobodyCan) as raised:
        decision.required()
    for reason in ("strong: the call is private", "nobody: it cannot be called", "local: no local"):
        assert reason in raised.value.message


names = st.sampled_from(["strong", "cheap", "home", "local", "*", "*ea*", "local:*", "nobody"])
options = st.builds(
    replace,
    st.sampled_from(ALL_OPTIONS),
    wait_s=st.floats(0, 1000),
    attended=st.booleans(),
    rejected=st.none() | st.just("rejected"),
    avoid=st.none() | st.just("crowded"),
    refused=st.none() | st.just("never"),
)
terms = st.builds(
    Terms,
    order=st.sampled_from(["listed", "price", "wait"]),
    divert=st.booleans(),
    max_wait_s=st.floats(0, 100),
    max_cost=st.none() | st.integers(0, 10**8),
)
calls = st.builds(
    Features,
    route=st.sampled_from(["x", "y"]),
    prompt_tokens=st.integers(0, 200_000),
    max_tokens=st.integers(0, 5_000),
    tools=st.booleans(),
    images=st.booleans(),
    private=st.booleans(),
    budget_usd=st.none() | st.floats(0, 0.1),
)
rules = st.lists(
    st.builds(
        lambda models, terms, routes: Rule("r", tuple(models), terms, tuple(routes)),
        st.lists(names, min_size=1, max_size=4),
        terms,
        st.lists(st.sampled_from(["x", "y"]), max_size=2),
    ),
    min_size=1,
    max_size=4,
)


@given(calls, rules, st.lists(options, max_size=6))
def test_whatever_the_rules_say(call: Features, given: list[Rule], known: list[Option]) -> None:
    named = [replace(rule, name=str(place)) for place, rule in enumerate(given)]
    found = Rules(tuple(named), "v")
    try:
        decision = decide(call, found, known)
    except NotFound:
        assert call.route not in found.routes or not any(one.matches(call) for one in named)
        return
    first = next(rule for rule in named if rule.matches(call))
    assert decision.rule == first.name, "the first that matches wins"
    verdicts = [one.verdict for one in decision.candidates]
    assert verdicts.count("chosen") == (decision.chosen is not None)
    if decision.chosen is None:
        assert set(verdicts) <= {"out"}
        return
    assert decision.chosen.local or not call.private, "what is private stays here"
    assert decision.chosen.refused is None
    assert set(call.needs) <= decision.chosen.features
    others = [one for one in decision.candidates if one.verdict == "in"]
    assert not first.terms.divert or all(one.wait_s <= first.terms.max_wait_s for one in others)
