"""Shares of a long window whose size nobody tells (Anthropic's 5-hour and 7-day windows).

The provider says only how much of the window is used and when it ends. So the limit counts in
millionths of the window: below `spread_from` calls go as they come; above it a route should prefer
other pools; above `pace_from` what is left is spread evenly until the window ends.
"""

from dataclasses import dataclass
from typing import Final

from lmx.workflows.limits.meter import Charge, State, Usage

WHOLE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Share:
    """A window of `period_s` seconds. What one call takes of it is learnt from what is told."""

    period_s: float
    spread_from: float = 0.4
    pace_from: float = 0.75

    @property
    def limit(self) -> int:
        """The whole window."""
        return WHOLE

    def _current(self, state: State, now: float) -> State:
        return state if state.get("resets_at", 0.0) > now else {}

    def crowded(self, state: State, now: float) -> bool:
        """Whether a route should rather take another pool, if its rule allows that."""
        return self._used(state, now) >= self.spread_from

    def _used(self, state: State, now: float) -> float:
        """The share used: what was told, and the calls since at what one usually takes."""
        known = self._current(state, now)
        since = known.get("calls", 0) * state.get("per_call", 0.0)
        return min(1.0, float(known.get("used", 0.0) + since))

    def wait(self, state: State, now: float, amount: int) -> float:  # noqa: ARG002
        """Seconds until another call may start: 0 at once."""
        known = self._current(state, now)
        used = self._used(state, now)
        if used < self.pace_from:
            return 0.0
        end = known["resets_at"]
        began = known.get("paced_since", now)
        if end <= began:
            return 0.0
        # A straight line from pace_from at `began` to the whole window at its end.
        progress = (used - self.pace_from) / (1.0 - self.pace_from)
        return max(0.0, float(began + progress * (end - began) - now))

    def charge(
        self,
        state: State,
        now: float,
        amount: int,  # noqa: ARG002
        at: float | None = None,  # noqa: ARG002
    ) -> State:
        """Count one call."""
        known = dict(self._current(state, now) or {"per_call": state.get("per_call", 0.0)})
        return self._paced({**known, "calls": known.get("calls", 0) + 1}, now)

    def correct(
        self,
        state: State,
        now: float,  # noqa: ARG002
        charge: Charge,  # noqa: ARG002
        real: int,  # noqa: ARG002
    ) -> State:
        """Estimates are not used here."""
        return state

    def earlier(self, state: State, seconds: float) -> State:
        """Paced since so much earlier; when the window ends is the provider's word."""
        since = {"paced_since": state["paced_since"] - seconds} if "paced_since" in state else {}
        return {**state, **since}

    def told(self, state: State, now: float, remaining: int, limit: int) -> State:
        """The provider's own figure; `resets_at` comes by `until`."""
        known = self._current(state, now)
        used = 1.0 - remaining / limit
        calls = known.get("calls", 0)
        grown = used - known.get("used", 0.0)
        per_call = grown / calls if calls and grown > 0 else state.get("per_call", 0.0)
        fresh = {**known, "used": used, "calls": 0, "per_call": per_call}
        return self._paced(fresh, now)

    def until(self, state: State, resets_at: float) -> State:
        """When the window that is used now ends."""
        return {**state, "resets_at": resets_at}

    def _paced(self, state: State, now: float) -> State:
        """Remember since when the window is paced."""
        if self._used(state, now) < self.pace_from:
            return {key: value for key, value in state.items() if key != "paced_since"}
        return {"paced_since": now, **state}

    def forgets(self, now: float, at: float) -> bool:  # noqa: ARG002
        """The provider tells what is used."""
        return False

    def exhausted(self, state: State, now: float) -> State:
        """The window is used up."""
        return self.told(state, now, 0, WHOLE)

    def usage(self, state: State, now: float) -> Usage:
        """The share used, in millionths."""
        return Usage(round(self._used(state, now) * WHOLE), WHOLE)
