"""Whether calls fit into the allowances of the moment. Pure: the claim locks, holds and defers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lmx.workflows.allowances.words import amount_text, span_text, until_text

#: The scope of an allowance for all calls.
EVERYTHING: Final = "*"
#: How soon a call is looked at again that would fit if those on their way cost less than they hold.
_SETTLING_S: Final = 1.0
#: How soon one is looked at again that waits for no period's end.
_A_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Period:
    """The present period of an allowance, as its locked row has it. Amounts are of its unit.

    `ends_at` and `now` are the database's clock, in seconds since the epoch; no end: None.
    """

    id: int
    scope: str
    unit: str
    per: str
    zone: str
    ceiling: int
    spent: int
    held: int
    ends_at: float | None
    now: float

    def covers(self, account: str) -> bool:
        """Whether calls of an account (`provider/name`) are paid out of it."""
        return self.scope in (EVERYTHING, account)


@dataclass(frozen=True, slots=True)
class Deferral:
    """A call for which a period has no room: it waits until `until` (epoch seconds)."""

    until: float
    reason: str


@dataclass(frozen=True, slots=True)
class Settling:
    """A call for which there may be room once calls on their way have been settled."""

    seconds: float
    reason: str


def amounts_of(bounds: Mapping[str, int]) -> dict[str, int]:
    """What a call may use at the most of each unit, from what it may use of its pool."""
    tokens = bounds.get("input_tokens", 0) + bounds.get("output_tokens", 0)
    return {
        "usd": bounds.get("usd", 0),
        "tokens": bounds.get("tokens", tokens),
        "calls": bounds.get("requests", 1),
        "seconds": bounds.get("seconds", 0),
    }


@dataclass(slots=True)
class Purse:
    """What locked periods still grant. Calls take from it, one after another."""

    periods: Sequence[Period]
    holds: list[dict[str, Any]] = field(default_factory=list)
    _taken: dict[int, int] = field(default_factory=dict)

    def refusal(self, account: str, amounts: Mapping[str, int]) -> Deferral | Settling | None:
        """Why a call cannot be paid now; None if it can."""
        short = [
            period
            for period in self.periods
            if period.covers(account)
            and period.spent + self._held(period) + amounts.get(period.unit, 0) > period.ceiling
        ]
        if not short:
            return None
        over = [one for one in short if one.spent + amounts.get(one.unit, 0) > one.ceiling]
        if not over:
            return Settling(_SETTLING_S, self._reason(short[0]))
        last = max(over, key=_ending)
        return Deferral(_ending(last), self._reason(last))

    def take(self, task: int, account: str, amounts: Mapping[str, int]) -> None:
        """Hold what a call may spend, which `refusal` found to fit."""
        for period in self.periods:
            amount = amounts.get(period.unit, 0)
            if amount and period.covers(account):
                self._taken[period.id] = self._taken.get(period.id, 0) + amount
                hold = {"task": task, "period": period.id, "unit": period.unit, "amount": amount}
                self.holds.append(hold)

    def _held(self, period: Period) -> int:
        return period.held + self._taken.get(period.id, 0)

    def _reason(self, period: Period) -> str:
        used = amount_text(period.unit, period.spent)
        held = amount_text(period.unit, self._held(period))
        ceiling = amount_text(period.unit, period.ceiling)
        end = until_text(period.per, period.zone, period.ends_at)
        span = span_text(period.scope, period.per)
        return f"{used} spent and {held} held of {ceiling} {span}{end}"


def _ending(period: Period) -> float:
    return period.now + _A_DAY_S if period.ends_at is None else period.ends_at
