"""Sliding windows: no period of this length ever sees more than the limit."""

import json
from bisect import bisect_right
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx.api.rehearsal.meters import ExactWindow
from lmx.workflows.limits.admission import Call, admit
from lmx.workflows.limits.folding import News, fold
from lmx.workflows.limits.meter import Charge, State
from lmx.workflows.limits.pool import read_pool
from lmx.workflows.limits.window import Window


def fullest_period(arrivals: list[tuple[float, int]], period_s: float) -> int:
    """The most that any half-open period of this length contains."""
    arrivals = sorted(arrivals)
    times = [at for at, _ in arrivals]
    return max(
        (
            sum(n for _, n in arrivals[bisect_right(times, at - period_s) : index + 1])
            for index, (at, _) in enumerate(arrivals)
        ),
        default=0,
    )


@given(
    limit=st.integers(1, 500),
    start=st.floats(1e9, 1.1e9),
    calls=st.lists(st.tuples(st.floats(0, 20), st.integers(1, 200), st.floats(0, 1)), max_size=80),
)
def test_no_minute_sees_more_than_the_limit_if_requests_arrive_within_the_jitter(
    limit: int, start: float, calls: list[tuple[float, int, float]]
) -> None:
    """Each call is (pause before it, amount, seconds that it is on its way)."""
    window = Window(limit, jitter_s=1.0)
    state: State = {}
    now, arrivals = start, list[tuple[float, int]]()
    for pause, amount, on_its_way in calls:
        now += pause
        wait = window.wait(state, now, amount)
        if wait == inf:
            assert amount > limit
            continue
        now += wait
        assert window.wait(state, now, amount) < 1e-4, "the wait that it names is enough"
        state = window.charge(state, now, amount)
        arrivals.append((now + on_its_way, amount))
    assert fullest_period(arrivals, 60.0) <= limit


@pytest.mark.parametrize(("limit", "amount"), [(10, 1), (300, 1), (250_000, 9_000)])
@pytest.mark.parametrize("pause", [0.001, 0.19, 5.9])
def test_a_busy_window_uses_nearly_all_that_fits(limit: int, amount: int, pause: float) -> None:
    """Calls start as soon as they may, at the earliest `pause` seconds after each other."""
    window = Window(limit)
    state: State = {}
    now, passed = 1e9, 0
    while now < 1e9 + 3600:
        now += max(window.wait(state, now, amount), pause)
        state = window.charge(state, now, amount)
        passed += 1
    possible = min(60 * (limit // amount), 3600 / pause)
    assert 0.985 * possible < passed <= possible + limit // amount


def test_what_was_used_counts_from_when_the_provider_was_first_heard() -> None:
    window = Window(limit=100)
    state = window.charge({}, 1000.0, 80)
    state = window.correct(state, 1030.0, Charge(1000.0, 1020.0, 80), 30)
    assert window.usage(state, 1030.0).used == 30
    assert window.usage(state, 1080.2).used == 30
    assert window.usage(state, 1080.3).used == 0


def test_a_correction_after_everything_has_left_the_window_changes_nothing() -> None:
    window = Window(limit=100)
    state = window.charge({}, 1000.0, 80)
    assert window.correct(state, 1200.0, Charge(1000.0, 1001.0, 80), 100) == {}


@given(
    limit=st.integers(1, 60),
    calls=st.lists(
        st.tuples(st.floats(0, 8), st.integers(1, 40), st.floats(0, 25), st.floats(0, 25)),
        max_size=60,
    ),
)
def test_no_minute_sees_more_even_if_requests_take_long_to_arrive(
    limit: int, calls: list[tuple[float, int, float, float]]
) -> None:
    """Each call is (pause, amount, seconds on its way, seconds from arrival to first answer)."""
    window = Window(limit)
    state: State = {}
    now, arrivals = 1e9, list[tuple[float, int]]()
    answers: list[tuple[float, Charge]] = []
    for pause, amount, on_its_way, answering in calls:
        now += pause
        for heard_at, charge in sorted(answers, key=lambda one: one[0]):
            if heard_at <= now:
                state = window.correct(state, heard_at, charge, charge.amount)
        answers = [one for one in answers if one[0] > now]
        if window.wait(state, now, amount) > 0:
            continue
        state = window.charge(state, now, amount)
        heard_at = now + on_its_way + answering
        arrivals.append((now + on_its_way, amount))
        answers.append((heard_at, Charge(now, heard_at, amount)))
    assert fullest_period(arrivals, 60.0) <= limit


@given(calls=st.lists(st.tuples(st.floats(0, 90), st.integers(1, 300)), max_size=60))
def test_what_arrives_at_once_leaves_at_once_to_the_moment(calls: list[tuple[float, int]]) -> None:
    """A naive window that remembers every call lets calls start at the same moments."""
    window = Window(limit=300, jitter_s=0.0)
    state: State = {}
    sent: list[tuple[float, int]] = []
    now = 1e9
    for pause, amount in calls:
        now += pause + 0.5
        counted = [(at, n) for at, n in sent if at + 60.0 > now]
        free = 300 - sum(n for _, n in counted)
        left = [at + 60.0 - now for at, n in counted if (free := free + n) >= amount]
        assert window.wait(state, now, amount) == (
            left[0] if sum(n for _, n in counted) + amount > 300 else 0.0
        )
        if window.wait(state, now, amount) == 0:
            state = window.charge(state, now, amount)
            sent.append((now, amount))


@given(
    limit=st.integers(1, 40),
    calls=st.lists(
        st.tuples(
            st.floats(0, 30),
            st.integers(1, 40),
            st.floats(0, 130),
            st.floats(0, 130),
            st.floats(0, 130),
        ),
        max_size=50,
    ),
)
def test_a_provider_that_remembers_every_request_refuses_none(
    limit: int, calls: list[tuple[float, int, float, float, float]]
) -> None:
    """Each call is (pause, amount, seconds on its way, until it is first heard, until its end)."""
    row = {"name": "tokens", "of": "input_tokens", "kind": "window", "limit": limit}
    pool, provider = read_pool([row], {}), ExactWindow(limit)
    now, flying = 1e9, list[tuple[float, int, float, float, float]]()
    arrivals: list[tuple[float, int]] = []
    for pause, amount, on_its_way, answering, ending in calls:
        now += pause
        for charged, used, _, heard, end in sorted(flying, key=lambda one: one[-1]):
            if end <= now:
                costs = {"input_tokens": used}
                data = {"charged_at": charged, "heard_at": heard, "estimate": costs, "real": costs}
                pool = fold(pool, [News("used", end, data=data)], {}).pool
        flying = [one for one in flying if one[-1] > now]
        heard_of = [
            (charged, {"input_tokens": used}, heard if heard <= now else None)
            for charged, used, _, heard, _ in flying
        ]
        decision = admit(replace(pool, flying=heard_of), now, [Call(1, {"input_tokens": amount})])
        if decision.admitted:
            pool = decision.pool
            heard = now + on_its_way + answering
            flying.append((now, amount, now + on_its_way, heard, heard + ending))
            arrivals.append((now + on_its_way, amount))
    for at, amount in sorted(arrivals):
        assert provider.room(at) >= amount
        provider.take(at, amount)


def test_the_state_stays_as_small_as_the_window() -> None:
    window = Window(limit=10**9)
    state: State = {}
    for tick in range(20_000):
        state = window.charge(state, 1e9 + tick / 50, 3)
    assert len(state["counts"]) <= 122
    assert len(json.dumps(state)) < 4000


def test_what_the_provider_has_counted_and_we_have_not_is_used() -> None:
    window = Window(limit=100)
    state = window.charge({}, 0.0, 30)
    assert window.usage(window.told(state, 1.0, 40, 100), 1.0).used == 60
    assert window.usage(window.told(state, 1.0, 90, 100), 1.0).used == 30
    assert window.wait(window.exhausted(state, 1.0), 1.0, 1) == pytest.approx(60.25, abs=1.01)
