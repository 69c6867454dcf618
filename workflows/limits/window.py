"""Sliding windows: so much in any period of this length (Gemini's limits per minute).

A bucket as large as the limit would let almost twice the limit pass within one such period. So the
window counts in `slots` sub-periods, and looks at every one that overlaps the last period. `counts`
maps the number of a sub-period since the epoch to what was charged in it.
"""

from dataclasses import dataclass
from math import floor, inf

from lmx.workflows.limits.meter import Charge, State, Usage


@dataclass(frozen=True, slots=True)
class Window:
    """`limit` in any `period_s` seconds.

    `jitter_s` more are looked at, because requests may arrive closer together than they were sent.
    """

    limit: int
    period_s: float = 60.0
    slots: int = 60
    jitter_s: float = 1.0

    @property
    def _width(self) -> float:
        return self.period_s / self.slots

    def _recent(self, state: State, now: float) -> dict[int, int]:
        """The sub-periods that count now, oldest first."""
        oldest = floor((now - self.period_s - self.jitter_s) / self._width)
        counts = {int(slot): int(n) for slot, n in state.get("counts", {}).items()}
        return {slot: n for slot, n in sorted(counts.items()) if slot >= oldest}

    def wait(self, state: State, now: float, amount: int) -> float:
        """Seconds until `amount` more may be used: 0 at once, inf never."""
        if amount > self.limit:
            return inf
        counts = self._recent(state, now)
        over = sum(counts.values()) + amount - self.limit
        wait = 0.0
        for slot, count in counts.items():
            if over <= 0:
                break
            over -= count
            wait = (slot + 1) * self._width + self.period_s + self.jitter_s - now
        return max(0.0, wait)

    def charge(self, state: State, now: float, amount: int) -> State:
        """Count `amount` in the sub-period of `now`."""
        return self._add(state, now, floor(now / self._width), amount)

    def correct(self, state: State, now: float, charge: Charge, real: int) -> State:
        """Count what was used when the provider was first heard of it: it has counted by then.

        So however long a request was on its way, it counts here as long as it does there.
        """
        without = self._add(state, now, floor(charge.at / self._width), -charge.amount)
        return self._add(without, now, floor(charge.heard_at / self._width), real)

    def _add(self, state: State, now: float, slot: int, amount: int) -> State:
        counts = self._recent(state, now)
        counts[slot] = max(0, counts.get(slot, 0) + amount)
        kept = {str(s): n for s, n in self._recent({"counts": counts}, now).items() if n}
        return {"counts": kept} if kept else {}

    def told(self, state: State, now: float, remaining: int, limit: int) -> State:
        """What the provider has counted and we have not counts as used now."""
        missing = limit - remaining - sum(self._recent(state, now).values())
        return self.charge(state, now, max(0, missing))

    def forgets(self, now: float, at: float) -> bool:
        """A charge leaves the window after a period, wherever its request is then."""
        return floor(at / self._width) < floor((now - self.period_s - self.jitter_s) / self._width)

    def exhausted(self, state: State, now: float) -> State:
        """Nothing is left until a whole period has passed."""
        return self.told(state, now, 0, self.limit)

    def usage(self, state: State, now: float) -> Usage:
        """What was charged in the last period."""
        return Usage(float(sum(self._recent(state, now).values())), self.limit)
