"""Sliding windows: no period of this length ever sees more than the limit."""

from bisect import bisect_right
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx.workflows.limits.meter import State
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
def test_no_minute_sees_more_than_the_limit_however_requests_arrive(
    limit: int, start: float, calls: list[tuple[float, int, float]]
) -> None:
    """Each call is (pause before it, amount, seconds that it is on its way)."""
    window = Window(limit)
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


def test_a_busy_window_uses_nearly_the_whole_limit() -> None:
    window = Window(limit=300)
    state: State = {}
    now, passed = 0.0, 0
    while now < 3600:
        now += window.wait(state, now, 1) + 0.01
        state = window.charge(state, now, 1)
        passed += 1
    assert 0.95 * 60 * 300 < passed <= 60 * 300


def test_a_correction_counts_where_the_estimate_did_and_not_after_it_has_left() -> None:
    window = Window(limit=100)
    state = window.charge({}, 1000.0, 80)
    state = window.correct(state, 1030.0, charged_at=1000.0, delta=-50)
    assert window.usage(state, 1030.0).used == 30
    state = window.correct(state, 1030.0, charged_at=1000.0, delta=20)
    assert window.usage(state, 1030.0).used == 50
    assert window.correct(state, 1200.0, charged_at=1000.0, delta=20) == {}


def test_the_state_stays_as_small_as_the_window() -> None:
    window = Window(limit=10**9)
    state: State = {}
    for second in range(500):
        state = window.charge(state, 1e9 + second, 3)
    assert len(state["counts"]) <= 63


def test_what_the_provider_has_counted_and_we_have_not_is_used() -> None:
    window = Window(limit=100)
    state = window.charge({}, 0.0, 30)
    assert window.usage(window.told(state, 1.0, 40, 100), 1.0).used == 60
    assert window.usage(window.told(state, 1.0, 90, 100), 1.0).used == 30
    assert window.wait(window.exhausted(state, 1.0), 1.0, 1) == pytest.approx(61.0, abs=1.01)
