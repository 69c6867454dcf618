"""Breakers: what opens them, for how long, and how a probe closes them again."""

import pytest

from lmx.workflows.limits import breaker
from lmx.workflows.limits.breaker import RULES, Breaker


def tripped(kind: str, now: float = 0.0) -> Breaker:
    state: Breaker = {}
    for _ in range(RULES[kind].failures):
        state = breaker.failed(state, now, kind)
    return state


@pytest.mark.parametrize("kind", RULES)
def test_as_many_failures_in_a_row_as_the_rule_says_open_it(kind: str) -> None:
    state: Breaker = {}
    for _ in range(RULES[kind].failures - 1):
        state = breaker.failed(state, 0.0, kind)
        assert breaker.phase(state, 0.0) == "closed"
    state = breaker.failed(state, 0.0, kind)
    assert breaker.phase(state, 0.0) == "open"
    assert breaker.wait(state, 0.0) == RULES[kind].first_s


def test_a_success_between_failures_starts_the_count_anew() -> None:
    state = breaker.failed({}, 0.0, "overload")
    state = breaker.succeeded(state)
    assert breaker.phase(breaker.failed(state, 0.0, "overload"), 0.0) == "closed"


def test_half_open_lets_one_probe_through_and_its_success_closes() -> None:
    state = tripped("overload")
    later = RULES["overload"].first_s
    assert breaker.at_most(state, later - 1) == 0
    assert breaker.at_most(state, later) == 1
    state = breaker.probing(state, later, task_id=7)
    assert breaker.at_most(state, later) == 0
    assert breaker.succeeded(state, task_id=8) == state, "only the probe closes it"
    assert breaker.at_most(breaker.succeeded(state, task_id=7), later) is None


def test_a_failed_probe_opens_it_for_twice_as_long_up_to_the_longest() -> None:
    state, now = tripped("overload"), 0.0
    pauses = []
    for probe in range(10):
        pauses.append(breaker.wait(state, now))
        now += pauses[-1]
        state = breaker.failed(breaker.probing(state, now, probe), now, "overload", probe)
    assert pauses[:4] == [5.0, 10.0, 20.0, 40.0]
    assert pauses[-1] == RULES["overload"].longest_s


def test_a_deadline_is_never_shortened() -> None:
    state = breaker.failed({}, 0.0, "spend_cap", until=86_400.0)
    assert breaker.wait(breaker.failed(state, 1.0, "overload"), 1.0) == 86_399.0


def test_a_probe_that_is_never_heard_of_again_is_replaced() -> None:
    state = tripped("overload")
    state = breaker.probing(state, 10.0, task_id=7)
    assert breaker.at_most(state, 10.0 + breaker.PROBE_PATIENCE_S - 1) == 0
    assert breaker.at_most(state, 10.0 + breaker.PROBE_PATIENCE_S) == 1


def test_rejected_answers_open_the_breaker_of_quality_and_the_next_good_one_closes_it() -> None:
    state: Breaker = {}
    for task in (1, 2):
        state = breaker.judged(state, 0.0, task, accepted=False)
    assert breaker.judged(state, 0.0, 3, accepted=True) == {}, "only those in a row count"
    state = breaker.judged(state, 0.0, 3, accepted=False)
    assert (state["kind"], breaker.phase(state, 0.0)) == ("quality", "open")
    assert breaker.judged(state, 1.0, 4, accepted=True) == state, "asked by name meanwhile"
    later = RULES["quality"].first_s
    assert breaker.judged(state, later, 5, accepted=True) == {}
    again = breaker.judged(state, later, 5, accepted=False)
    assert breaker.wait(again, later) == 2 * later
