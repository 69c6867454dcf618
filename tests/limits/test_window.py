"""Sliding windows: no period of this length ever sees more than the limit."""

from bisect import bisect_right
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx.workflows.limits.meter import Charge, State
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


def test_what_was_used_counts_from_when_the_provider_was_first_heard() -> None:
    window = Window(limit=100)
    state = window.charge({}, 1000.0, 80)
    state = window.correct(state, 1030.0, Charge(1000.0, 1020.0, 80), 30)
    assert window.usage(state, 1030.0).used == 30
    assert window.usage(state, 1079.0).used == 30
    assert window.usage(state, 1082.0).used == 0


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
