"""Token buckets: never more than the provider grants, and no less than that for long."""

from dataclasses import dataclass, field
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx.workflows.limits.bucket import Bucket
from lmx.workflows.limits.meter import Charge, State

#: Exact in binary, so that a level can be compared with another path to the same level.
STEP = 0.25


@dataclass
class Provider:
    """A provider's own bucket, full at the start; written without the code under test."""

    limit: int
    period_s: float = 60.0
    left: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.left = float(self.limit)

    def grants(self, now: float, amount: int) -> bool:
        self.left = min(self.limit, self.left + (now - self.at) * self.limit / self.period_s)
        self.at = now
        if amount > self.left + 1e-6:
            return False
        self.left -= amount
        return True


def test_a_burst_starts_at_once_and_the_rest_at_the_rate() -> None:
    bucket, state = Bucket(limit=60, burst_s=10), dict[str, object]()
    current: State = state
    for _ in range(10):
        assert bucket.wait(current, 1000.0, 1) == 0
        current = bucket.charge(current, 1000.0, 1)
    assert bucket.wait(current, 1000.0, 1) == 1.0
    assert bucket.wait(current, 1001.0, 1) == 0


def test_what_is_larger_than_a_burst_starts_when_nothing_else_is_counted() -> None:
    bucket = Bucket(limit=600, burst_s=1)
    assert bucket.wait({}, 0.0, 500) == 0
    charged = bucket.charge({}, 0.0, 1)
    assert bucket.wait(charged, 0.0, 500) == pytest.approx(0.1)


def test_what_is_larger_than_the_limit_never_starts() -> None:
    assert Bucket(limit=600).wait({}, 0.0, 601) == inf


@given(
    limit=st.integers(1, 10_000),
    burst_s=st.floats(0.1, 60),
    calls=st.lists(st.tuples(st.floats(0, 90), st.integers(1, 4_000)), max_size=60),
)
def test_the_provider_never_refuses_what_the_bucket_lets_pass(
    limit: int, burst_s: float, calls: list[tuple[float, int]]
) -> None:
    bucket, provider = Bucket(limit, burst_s=burst_s), Provider(limit)
    state: State = {}
    now = 0.0
    for pause, amount in calls:
        now += pause
        wait = bucket.wait(state, now, amount)
        if wait == inf:
            continue
        now += wait
        assert bucket.wait(state, now, amount) < 1e-6, "the wait that it names is enough"
        state = bucket.charge(state, now, amount)
        assert provider.grants(now, amount)


def test_a_busy_bucket_uses_the_whole_limit() -> None:
    bucket, state = Bucket(limit=1000), dict[str, object]()
    current: State = state
    now, passed = 0.0, 0
    while now < 600:
        now += bucket.wait(current, now, 7)
        current = bucket.charge(current, now, 7)
        passed += 7
    assert passed == pytest.approx(10_000, rel=0.02)


@given(
    calls=st.lists(
        st.tuples(st.integers(0, 80), st.integers(1, 90), st.integers(0, 90), st.integers(0, 30)),
        min_size=1,
        max_size=25,
    )
)
def test_a_corrected_estimate_leaves_the_level_that_the_real_amount_would_have_left(
    calls: list[tuple[int, int, int, int]],
) -> None:
    """Each call is (pause before it, estimate, real amount if smaller, time until it is known)."""
    bucket = Bucket(limit=60)
    happenings: list[tuple[float, int, str, float, int, int]] = []
    now = 0.0
    for number, (pause, estimate, real, later) in enumerate(calls):
        now += pause * STEP
        amount = min(real, estimate)
        happenings.append((now, number, "charge", now, estimate, amount))
        happenings.append((now + later * STEP, number, "known", now, estimate, amount))
    state: State = {}
    ideal: State = {}
    for at, _, what, charged_at, estimate, amount in sorted(happenings, key=lambda h: h[0]):
        now = at
        if what == "charge":
            state = bucket.charge(state, now, estimate)
            ideal = bucket.charge(ideal, now, amount)
        else:
            state = bucket.correct(state, now, Charge(charged_at, now, estimate), amount)
        assert bucket.usage(state, now).used >= bucket.usage(ideal, now).used - 1e-6


def test_all_of_an_overestimate_comes_back_while_the_bucket_is_busy() -> None:
    bucket = Bucket(limit=60)
    state: State = bucket.charge({}, 0.0, 30)
    state = bucket.charge(state, 1.0, 20)
    state = bucket.correct(state, 5.0, Charge(1.0, 1.0, 20), 5)
    assert bucket.usage(state, 5.0).used == pytest.approx(30 + 20 - 15 - 5)


def test_an_overestimate_that_has_drained_does_not_come_back() -> None:
    bucket = Bucket(limit=60)
    state: State = bucket.charge({}, 0.0, 30)
    state = bucket.charge(state, 100.0, 10)
    state = bucket.correct(state, 100.0, Charge(0.0, 0.0, 30), 5)
    assert bucket.usage(state, 100.0).used == pytest.approx(10)


def test_what_the_provider_says_may_lower_what_is_left_but_never_raise_it() -> None:
    bucket = Bucket(limit=60)
    state: State = bucket.charge({}, 0.0, 30)
    assert bucket.usage(bucket.told(state, 0.0, 60, 60), 0.0).used == 30
    assert bucket.usage(bucket.told(state, 0.0, 10, 60), 0.0).used == 50
