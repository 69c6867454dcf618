"""Sliding windows: so much in any period of this length (Gemini's limits per minute).

A bucket as large as the limit would let almost twice the limit pass within one such period. So the
window remembers when each amount was counted. To keep its state small it counts in `slots`
sub-periods, and each keeps one time for all of its amounts, the latest: `counts` is a list of
[time, amount], oldest first. So a burst, or a few calls a minute, are known to the moment, and
nothing is ever forgotten too early.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, inf

from lmx.workflows.limits.meter import Charge, State, Usage

#: When a sub-period last counted something, and how much it has counted.
_Cell = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Window:
    """`limit` in any `period_s` seconds.

    A call counts from its claim until a period after the provider was first heard of it, so it
    does not matter how long its request was on its way. `jitter_s` more is for clocks that differ.
    """

    limit: int
    period_s: float = 60.0
    slots: int = 120
    jitter_s: float = 0.25

    def _slot(self, at: float) -> int:
        return floor(at / (self.period_s / self.slots))

    def _leaves(self, at: float) -> float:
        """When what was counted at `at` counts no more."""
        return at + self.period_s + self.jitter_s

    def _recent(self, state: State, now: float) -> list[_Cell]:
        """What counts now, oldest first."""
        cells: Sequence[_Cell] = state.get("counts", ())
        return list(cells[bisect_right(cells, now, key=lambda cell: self._leaves(cell[0])) :])

    def wait(self, state: State, now: float, amount: int) -> float:
        """Seconds until `amount` more may be used: 0 at once, inf never."""
        if amount > self.limit:
            return inf
        cells = self._recent(state, now)
        over = sum(count for _, count in cells) + amount - self.limit
        wait = 0.0
        for at, count in cells:
            if over <= 0:
                break
            over -= count
            wait = self._leaves(at) - now
        return max(0.0, wait)

    def charge(self, state: State, now: float, amount: int, at: float | None = None) -> State:
        """Count `amount` at the time `at`, now or soon; what counts now is not forgotten for it."""
        return self._add(state, now, now if at is None else at, amount)

    def correct(self, state: State, now: float, charge: Charge, real: int) -> State:
        """Count what was used when the provider was first heard of it: it has counted by then.

        So however long a request was on its way, it counts here as long as it does there.
        """
        without = self._add(state, now, charge.at, -charge.amount)
        return self._add(without, now, charge.heard_at, real)

    def _add(self, state: State, now: float, at: float, amount: int) -> State:
        cells, slot = self._recent(state, now), self._slot(at)
        place = bisect_left(cells, slot, key=lambda cell: self._slot(cell[0]))
        there = place < len(cells) and self._slot(cells[place][0]) == slot
        latest, count = cells[place] if there else (at, 0)
        latest, count = max(latest, at), max(0, count + amount)
        kept = [(latest, count)] if count and self._leaves(latest) > now else []
        cells[place : place + there] = kept
        return {"counts": cells} if cells else {}

    def earlier(self, state: State, seconds: float) -> State:
        """The counts of so much earlier."""
        cells = [(at - seconds, count) for at, count in state.get("counts", ())]
        return {"counts": cells} if cells else {}

    def told(self, state: State, now: float, remaining: int, limit: int) -> State:
        """What the provider has counted and we have not counts as used now."""
        missing = limit - remaining - sum(n for _, n in self._recent(state, now))
        return self.charge(state, now, max(0, missing))

    def forgets(self, now: float, at: float) -> bool:
        """A charge leaves the window after a period, wherever its request is then."""
        return self._leaves(at) <= now

    def exhausted(self, state: State, now: float) -> State:
        """Nothing is left until a whole period has passed."""
        return self.told(state, now, 0, self.limit)

    def usage(self, state: State, now: float) -> Usage:
        """What was charged in the last period."""
        return Usage(float(sum(n for _, n in self._recent(state, now))), self.limit)
