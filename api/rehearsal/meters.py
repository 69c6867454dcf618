"""How the provider meters what it grants: buckets like Anthropic, exact windows like Gemini."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

_PACIFIC = ZoneInfo("America/Los_Angeles")


class Meter(Protocol):
    """Grants amounts of one dimension."""

    limit: float

    def room(self, now: float) -> float:
        """What could be granted now."""

    def take(self, now: float, amount: float) -> None:
        """Count `amount`; may go beyond what there is room for."""

    def retry_after(self, now: float, amount: float) -> float:
        """Seconds until `amount` can be granted."""


@dataclass(slots=True)
class TokenBucket:
    """Holds at most `limit`, refilled continuously at `limit` per `period_s`; full at first."""

    limit: float
    period_s: float = 60.0
    _left: float | None = None
    _at: float = 0.0

    def room(self, now: float) -> float:
        """What the bucket holds; negative while it has granted too much."""
        left = self.limit if self._left is None else self._left
        refilled = left + max(0.0, now - self._at) * self.limit / self.period_s
        return min(self.limit, refilled)

    def take(self, now: float, amount: float) -> None:
        """Take out `amount`."""
        self._left, self._at = self.room(now) - amount, now

    def retry_after(self, now: float, amount: float) -> float:
        """Seconds until the bucket holds `amount`."""
        return max(0.0, (amount - self.room(now)) * self.period_s / self.limit)


@dataclass(slots=True)
class ExactWindow:
    """Grants `limit` in any `period_s` seconds, remembering every single grant."""

    limit: float
    period_s: float = 60.0
    _grants: deque[tuple[float, float]] = field(default_factory=deque)

    def room(self, now: float) -> float:
        """What the last period leaves."""
        while self._grants and self._grants[0][0] <= now - self.period_s:
            self._grants.popleft()
        return self.limit - sum(amount for _, amount in self._grants)

    def take(self, now: float, amount: float) -> None:
        """Remember a grant."""
        self._grants.append((now, amount))

    def retry_after(self, now: float, amount: float) -> float:
        """Seconds until enough grants have left the window."""
        short = amount - self.room(now)
        for at, granted in self._grants:
            if short <= 0:
                break
            short -= granted
            if short <= 0:
                return at + self.period_s - now
        return 0.0 if short <= 0 else self.period_s


@dataclass(slots=True)
class PacificDay:
    """Grants `limit` per day of Los Angeles."""

    limit: float
    _day: str = ""
    _used: float = 0.0

    def room(self, now: float) -> float:
        """What today leaves."""
        day = datetime.fromtimestamp(now, _PACIFIC).date().isoformat()
        if day != self._day:
            self._day, self._used = day, 0.0
        return self.limit - self._used

    def take(self, now: float, amount: float) -> None:
        """Count today."""
        self.room(now)
        self._used += amount

    def retry_after(self, now: float, amount: float) -> float:  # noqa: ARG002
        """A day's limit says nothing of when it ends."""
        return 3600.0
