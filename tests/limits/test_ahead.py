"""Calls that are let through a little before they may start: no limit is passed when they do."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx.api.rehearsal.meters import ExactWindow, TokenBucket
from lmx.workflows.limits.admission import Call, admit
from lmx.workflows.limits.bucket import Bucket
from lmx.workflows.limits.day import Day
from lmx.workflows.limits.folding import News, fold
from lmx.workflows.limits.pool import Pool, read_pool

AHEAD = 6.0
REQUESTS, TOKENS = 12, 300
LIMITS = [
    {"name": "requests/min", "of": "requests", "kind": "bucket", "limit": REQUESTS},
    {"name": "tokens/min", "of": "input_tokens", "kind": "window", "limit": TOKENS},
]


@dataclass(frozen=True)
class Sent:
    """A call at its provider: when it was charged and for what, when it came and was heard of.

    One that came never was given back before it was sent, or at its moment at the latest.
    """

    charged_at: float
    estimate: dict[str, int]
    real: dict[str, int]
    came: float | None
    heard: float | None
    ended: float

    @property
    def news(self) -> News:
        data = {"charged_at": self.charged_at, "estimate": self.estimate}
        if self.came is None:
            return News("used", self.ended, data={**data, "real": {}})
        if self.heard is None:
            return News("lost", self.ended, data=data)
        return News("used", self.ended, data={**data, "heard_at": self.heard, "real": self.real})


@dataclass
class Sender:
    """Asks a pool for one call after another, and tells it what became of them."""

    pool: Pool = field(default_factory=lambda: read_pool(LIMITS, {}))
    sent: list[Sent] = field(default_factory=list)
    told: int = 0

    def ask(
        self, now: float, tokens: int, used: float, way: float, rest: float, fate: str = "answered"
    ) -> bool:
        self._tell(now)
        flying = [
            (one.charged_at, one.estimate, one.heard if one.heard and one.heard <= now else None)
            for one in self.sent[self.told :]
        ]
        costs = {"requests": 1, "input_tokens": tokens}
        pool = replace(self.pool, flying=flying)
        decision = admit(pool, now, [Call(1, costs)], ahead=AHEAD)
        if 1 not in decision.admitted:
            return False
        start = decision.admitted[1]
        assert now <= start.at <= now + AHEAD
        self.pool = decision.pool
        real = {"requests": 1, "input_tokens": int(tokens * used)}
        came = start.at + way
        match fate:
            case "unsent":
                ended = now + (start.at - now) * used
                self.sent.append(Sent(start.at, start.costs, real, None, None, ended))
            case "lost":
                self.sent.append(Sent(start.at, start.costs, real, came, None, came + rest))
            case _:
                heard, ended = came + rest, came + 2 * rest
                self.sent.append(Sent(start.at, start.costs, real, came, heard, ended))
        return True

    def _tell(self, now: float) -> None:
        self.sent[self.told :] = sorted(self.sent[self.told :], key=lambda one: one.ended)
        while self.told < len(self.sent) and self.sent[self.told].ended <= now:
            self.pool = fold(self.pool, [self.sent[self.told].news], {}).pool
            self.told += 1


@given(
    calls=st.lists(
        st.tuples(
            st.floats(0, 12),
            st.integers(1, 200),
            st.floats(0.1, 1.0),
            st.floats(0, 3),
            st.floats(0, 40),
            st.sampled_from(["answered", "answered", "unsent", "lost"]),
        ),
        max_size=60,
    )
)
def test_a_provider_refuses_nothing_that_starts_on_the_moment(
    calls: list[tuple[float, int, float, float, float, str]],
) -> None:
    """Each call is (pause, tokens, part of them used, seconds on its way, until it is heard of,
    what becomes of it)."""
    sender, now = Sender(), 1e9
    for pause, tokens, used, way, rest, fate in calls:
        now += pause
        sender.ask(now, tokens, used, way, rest, fate)
    requests, window = TokenBucket(REQUESTS, 60.0), ExactWindow(TOKENS, 60.0)
    arrived = [(one.came, one.real["input_tokens"]) for one in sender.sent if one.came is not None]
    for came, tokens in sorted(arrived):
        assert requests.room(came) >= 1 - 1e-6
        assert window.room(came) >= tokens
        requests.take(came, 1)
        window.take(came, tokens)


def test_a_call_that_must_wait_a_little_is_charged_for_when_it_starts() -> None:
    sender = Sender()
    assert sender.ask(1000.0, 250, 1.0, 0.0, 0.0)
    assert not sender.ask(1054.0, 100, 1.0, 0.0, 0.0)
    assert sender.ask(1055.0, 100, 1.0, 0.0, 0.0)
    assert sender.sent[-1].charged_at == pytest.approx(1060.25)


def test_what_still_counts_is_not_forgotten_for_what_starts_later() -> None:
    sender = Sender()
    assert sender.ask(1000.0, 250, 1.0, 0.0, 0.0)
    assert sender.ask(1058.0, 100, 1.0, 0.0, 0.0)
    decision = admit(sender.pool, 1058.0, [Call(2, {"requests": 1, "input_tokens": 60})])
    assert decision.wait is not None


def test_a_level_is_higher_before_its_own_time() -> None:
    bucket = Bucket(limit=60)
    full = bucket.charge({}, 1000.0, 10)
    charged = bucket.charge(full, 1000.0, 1, 1001.0)
    assert bucket.usage(charged, 1000.0).used == 11
    assert bucket.wait(charged, 1000.0, 1) == 2.0
    assert bucket.wait(charged, 1001.0, 1) == 1.0


def test_a_clock_that_was_set_back_does_not_stop_a_bucket() -> None:
    bucket = Bucket(limit=60)
    charged = bucket.charge({}, 100_000.0, 10)
    assert bucket.wait(charged, 1000.0, 1) <= 61


def test_a_pause_that_is_over_soon_is_no_reason_to_wait_but_an_open_breaker_is() -> None:
    resting = replace(read_pool(LIMITS, {}), not_before=1005.0)
    call = Call(1, {"requests": 1, "input_tokens": 1})
    assert admit(resting, 1000.0, [call], ahead=AHEAD).admitted[1].at == 1005.0
    broken = [News("failed", 1000.0, n, {"kind": "overload"}) for n in (1, 2)]
    down = fold(read_pool(LIMITS, {}), broken, {}).pool
    decision = admit(down, 1000.0, [call], ahead=60.0)
    assert not decision.admitted
    assert decision.wait is not None
    assert not decision.wait.sure


def test_a_day_that_ends_keeps_its_count_until_it_has_ended() -> None:
    day = Day(limit=2, zone="UTC", jitter_s=1.0)
    midnight = 86_400.0 * 20_000
    full = day.charge({}, midnight - 100, 2)
    later = day.charge(full, midnight - 2, 1, midnight + 1.5)
    assert day.wait(later, midnight - 2, 1) == pytest.approx(3.0)
    assert day.wait(later, midnight + 1.5, 1) == 0
    assert day.usage(later, midnight + 1.5).used == 1
