"""Token buckets: capacity that refills continuously (Anthropic's limits per minute).

The state is `level`, what is used at the time `at`; it drains at limit / period per second. This is
the generic cell rate algorithm with its theoretical arrival time written as a level.

An estimate that proves too high is given back, but only as far as the level would be lower today
without it: what drained away through the floor is gone. `lows` holds the lowest levels since, as
[time, level], both rising: the level is lowest just before a charge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from lmx.workflows.limits.meter import Charge, State, Usage

_KEPT_LOWS: Final = 32
#: A level may be of a time to come, by so much at the most: further on, a clock was set back.
_AHEAD_S: Final = 60.0

_Lows = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Bucket:
    """`limit` per `period_s` seconds, of which at most `burst_s` seconds' worth at once.

    A burst smaller than the provider's own leaves it room for what is estimated wrongly and for
    requests that arrive sooner after each other than they were sent. Something larger than a burst
    may start when nothing else is counted.
    """

    limit: int
    period_s: float = 60.0
    burst_s: float = 10.0

    @property
    def _rate(self) -> float:
        return self.limit / self.period_s

    @property
    def _burst(self) -> float:
        return self._rate * min(self.burst_s, self.period_s)

    def _level(self, state: State, now: float) -> float:
        """What has not drained. Before its own time a level is higher by what drains until then."""
        idle = max(-_AHEAD_S, now - float(state.get("at", now)))
        return max(0.0, float(state.get("level", 0.0)) - idle * self._rate)

    def wait(self, state: State, now: float, amount: int) -> float:
        """Seconds until `amount` more may be used: 0 at once, inf never."""
        if amount > self.limit:
            return inf
        over = self._level(state, now) + amount - max(self._burst, amount)
        return max(0.0, over / self._rate)

    def charge(self, state: State, now: float, amount: int, at: float | None = None) -> State:
        """Count `amount` at the time `at`, now or soon."""
        at = now if at is None else at
        level = self._level(state, at)
        lows = [low for low in state.get("lows", ()) if low[1] < level]
        return _state(level + amount, at, [*lows, (at, level)])

    def correct(self, state: State, now: float, charge: Charge, real: int) -> State:
        """Charge what is missing, or give back what was too much as far as it is still felt."""
        delta, charged_at = real - charge.amount, charge.at
        if delta >= 0:
            return self.charge(state, now, delta)
        level = self._level(state, now)
        after = [low for at, low in state.get("lows", ()) if at > charged_at]
        given_back = min([-delta, level, *after])
        lows = [
            (at, low - given_back if at > charged_at else low) for at, low in state.get("lows", ())
        ]
        return _state(level - given_back, now, lows)

    def earlier(self, state: State, seconds: float) -> State:
        """The level of so much earlier."""
        if not state:
            return state
        lows = [(at - seconds, low) for at, low in state.get("lows", ())]
        return _state(float(state["level"]), float(state["at"]) - seconds, lows)

    def told(self, state: State, now: float, remaining: int, limit: int) -> State:
        """Never below what the provider has counted."""
        level = max(self._level(state, now), float(limit - remaining))
        return _state(level, now, state.get("lows", ()))

    def forgets(self, now: float, at: float) -> bool:  # noqa: ARG002
        """The provider's larger burst has room for what arrives late."""
        return False

    def exhausted(self, state: State, now: float) -> State:
        """All of the provider's capacity is used."""
        return self.told(state, now, 0, self.limit)

    def usage(self, state: State, now: float) -> Usage:
        """What has not drained yet."""
        return Usage(self._level(state, now), self.limit)


def _state(level: float, at: float, lows: Sequence[tuple[float, float]]) -> State:
    if level <= 0:
        return {}
    kept = _rising(lows)
    while len(kept) > _KEPT_LOWS:  # the two oldest become one, with the lower level
        kept[:2] = [(kept[1][0], kept[0][1])]
    return {"level": level, "at": at, "lows": kept}


def _rising(lows: Sequence[tuple[float, float]]) -> _Lows:
    """Those lows below which the level has not been since."""
    kept: _Lows = []
    for at, low in lows:
        while kept and kept[-1][1] >= low:
            kept.pop()
        kept.append((at, low))
    return kept
