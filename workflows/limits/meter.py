"""What every kind of limit can do. A meter is immutable; the caller keeps its state, as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

#: The state of one meter; `{}` is one that has counted nothing.
State = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """How full a limit is: `used` of `limit` in its period, for people to read."""

    used: float
    limit: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What was charged at `at` for a call, of which the provider was first heard at `heard_at`.

    The provider has counted the call somewhere between these two times.
    """

    at: float
    heard_at: float
    amount: int


class Meter(Protocol):
    """One limit: so much of a dimension (requests, tokens, nano-dollars) in a period."""

    @property
    def limit(self) -> int:
        """The amount that is allowed in a period."""

    def wait(self, state: State, now: float, amount: int) -> float:
        """Seconds until `amount` more may be used: 0 at once, inf never."""

    def charge(self, state: State, now: float, amount: int, at: float | None = None) -> State:
        """Count `amount` at the time `at`, now or soon, whether there is room for it or not.

        Until then it counts as if it had begun.
        """

    def correct(self, state: State, now: float, charge: Charge, real: int) -> State:
        """Put what a call has really used in place of what was charged for it."""

    def earlier(self, state: State, seconds: float) -> State:
        """The state as if all had happened so much earlier: the clock was set back."""

    def told(self, state: State, now: float, remaining: int, limit: int) -> State:
        """The provider says `remaining` of its `limit` is left: it may only lower what we have."""

    def forgets(self, now: float, at: float) -> bool:
        """Whether a charge made at `at` is counted no more, though the provider may have begun to
        count it much later."""

    def exhausted(self, state: State, now: float) -> State:
        """The provider says that nothing is left of this period."""

    def usage(self, state: State, now: float) -> Usage:
        """How much is used now."""
