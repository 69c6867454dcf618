"""Requests per calendar day where the provider is (Gemini: midnight in Los Angeles).

`counts` maps a date to what was charged on it. Days of 23 and 25 hours exist, so dates are asked of
the time zone. What is sent so near to midnight that it may arrive on either side counts on both.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import inf
from typing import Final
from zoneinfo import ZoneInfo

from lmx.workflows.limits.meter import Charge, State, Usage

#: By so much may the clock of a provider that refuses something be slower than ours.
_SLOWER_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Day:
    """`limit` per day of `zone`; a request may arrive `jitter_s` seconds from when it was sent."""

    limit: int
    zone: str = "America/Los_Angeles"
    jitter_s: float = 1.0

    def _days(self, now: float) -> list[date]:
        """The days on which a request that is sent now may be counted: one, or two at midnight."""
        zone = ZoneInfo(self.zone)
        times = (now - self.jitter_s, now + self.jitter_s)
        return sorted({datetime.fromtimestamp(time, zone).date() for time in times})

    def _count(self, state: State, day: date) -> int:
        return int(state.get("counts", {}).get(day.isoformat(), 0))

    def wait(self, state: State, now: float, amount: int) -> float:
        """Seconds until `amount` more may be used: 0 at once, inf never."""
        if amount > self.limit:
            return inf
        full = [day for day in self._days(now) if self._count(state, day) + amount > self.limit]
        if not full:
            return 0.0
        midnight = datetime.combine(full[-1] + timedelta(days=1), datetime.min.time())
        return midnight.replace(tzinfo=ZoneInfo(self.zone)).timestamp() + self.jitter_s - now

    def charge(self, state: State, now: float, amount: int, at: float | None = None) -> State:
        """Count `amount` on the day of the time `at`, now or soon."""
        days = self._days(now if at is None else at)
        return self._raise(state, now, {day: self._count(state, day) + amount for day in days})

    def correct(self, state: State, now: float, charge: Charge, real: int) -> State:
        """Correct the day on which the estimate was charged, if it is not over."""
        delta = real - charge.amount
        days = self._days(charge.at)
        return self._raise(state, now, {d: max(0, self._count(state, d) + delta) for d in days})

    def _raise(self, state: State, now: float, counts: dict[date, int]) -> State:
        first = self._days(now)[0]
        known = {date.fromisoformat(day): n for day, n in state.get("counts", {}).items()}
        kept = {day: n for day, n in (known | counts).items() if n and day >= first}
        return {"counts": {day.isoformat(): n for day, n in kept.items()}}

    def earlier(self, state: State, seconds: float) -> State:  # noqa: ARG002
        """Nobody knows on which day a clock was wrong."""
        return state

    def told(self, state: State, now: float, remaining: int, limit: int) -> State:
        """At least what the provider has counted."""
        today = self._days(now)[-1]
        return self._raise(state, now, {today: max(self._count(state, today), limit - remaining)})

    def forgets(self, now: float, at: float) -> bool:  # noqa: ARG002
        """A day's count stays until its end."""
        return False

    def just_began(self, now: float) -> bool:
        """Whether a refusal may be for the day before: the provider's clock may be slower."""
        return self._days(now - _SLOWER_S)[0] != self._days(now)[-1]

    def exhausted(self, state: State, now: float) -> State:
        """Nothing is left today."""
        return self.told(state, now, 0, self.limit)

    def usage(self, state: State, now: float) -> Usage:
        """What was charged today."""
        return Usage(float(self._count(state, self._days(now)[-1])), self.limit)
