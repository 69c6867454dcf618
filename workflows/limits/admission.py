"""Which of a pool's waiting calls may start now, and when the next one may."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Final

from lmx.workflows.allowances.purse import Deferral, Purse, Settling, amounts_of
from lmx.workflows.limits import breaker
from lmx.workflows.limits.learning import expected
from lmx.workflows.limits.pool import Limit, Pool

#: How soon a pool is looked at again whose limit is taken up by calls on their way.
_UNHEARD_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Call:
    """A waiting call and the most that it may use of each dimension."""

    id: int
    bounds: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing more may start for `seconds`; `reason` says why, for people."""

    seconds: float
    reason: str


@dataclass(slots=True)
class Admission:
    """The decision: calls that start, with what the pool is charged for each; calls that never can,
    with the reason; calls that no allowance has room for; the pool after it, and what it shares.

    `wait` is set when a call was left that has to wait.
    """

    pool: Pool
    shared: Pool | None = None
    admitted: dict[int, dict[str, int]] = field(default_factory=dict)
    deferred: dict[int, Deferral] = field(default_factory=dict)
    never: dict[int, str] = field(default_factory=dict)
    wait: Wait | None = None


def admit(
    pool: Pool,
    now: float,
    calls: Iterable[Call],
    *,
    account: str = "",
    shared: Pool | None = None,
    purse: Purse | None = None,
) -> Admission:
    """Take the calls in their order, each on top of those before it; the first that waits ends it.

    Later calls do not overtake one that waits: a large call would starve behind small ones. Only
    what waits for the end of a period is set aside, and comes before them when that has come.
    Every call counts in `shared`, too, and is paid out of the `purse` as one of `account`.
    """
    decision = Admission(pool, shared)
    for call in calls:
        costs = expected(pool.learnt, call.bounds)
        if reason := _never(pool, costs) or (shared and _never(shared, costs)):
            decision.never[call.id] = reason
            continue
        amounts = amounts_of(call.bounds)
        refusal = purse.refusal(account, amounts) if purse else None
        if isinstance(refusal, Deferral):
            decision.deferred[call.id] = refusal
            continue
        decision.wait = _longest(_waits(decision, now, costs, refusal))
        if decision.wait:
            break
        _start(decision, now, call, costs)
        if purse:
            purse.take(call.id, account, amounts)
    return decision


def _start(decision: Admission, now: float, call: Call, costs: dict[str, int]) -> None:
    """Charge a call that may start now; it is the probe of a half open breaker."""
    if breaker.phase(decision.pool.breaker, now) == "half_open":
        probe = breaker.probing(decision.pool.breaker, now, call.id)
        decision.pool = replace(decision.pool, breaker=probe)
    decision.pool = decision.pool.charge(now, costs)
    if decision.shared is not None:
        decision.shared = decision.shared.charge(now, costs)
    decision.admitted[call.id] = costs


def _waits(
    decision: Admission, now: float, costs: Mapping[str, int], refusal: Settling | None
) -> list[Wait | None]:
    """What a call has to wait for: its pool, what that shares, money that is held."""
    waits = [next_wait(decision.pool, now, costs)]
    if decision.shared is not None:
        waits.append(next_wait(decision.shared, now, costs))
    if refusal is not None:
        waits.append(Wait(refusal.seconds, refusal.reason))
    return waits


def _longest(waits: Iterable[Wait | None]) -> Wait | None:
    return max(filter(None, waits), key=lambda wait: wait.seconds, default=None)


def next_wait(pool: Pool, now: float, costs: Mapping[str, int]) -> Wait | None:
    """Why and for how long a call with these costs has to wait; None: it may start now."""
    waits: list[tuple[float, Callable[[], str]]] = [
        (breaker.wait(pool.breaker, now), lambda: _breaker_reason(pool, now)),
        (pool.not_before - now, lambda: "the provider asked for a pause"),
    ]
    waits += [
        (_seconds(pool, limit, now, costs), partial(_limit_reason, pool, limit, now))
        for limit in pool.limits
    ]
    seconds, reason = max(waits, key=lambda wait: wait[0])
    return Wait(seconds, reason()) if seconds > 0 else None


def _seconds(pool: Pool, limit: Limit, now: float, costs: Mapping[str, int]) -> float:
    amount = limit.amount(costs) + pool.overdue(limit, now)
    if amount <= limit.meter.limit:
        return limit.meter.wait(pool.state(limit), now, amount)
    return _UNHEARD_S  # until something is heard of those on their way


def _never(pool: Pool, costs: Mapping[str, int]) -> str | None:
    for limit in pool.limits:
        amount = limit.amount(costs)
        if limit.meter.wait({}, 0.0, amount) == inf:
            return f"it needs {amount} of {limit.name}, of which there are {limit.meter.limit}"
    return None


def _breaker_reason(pool: Pool, now: float) -> str:
    kind = pool.breaker.get("kind", "")
    if breaker.phase(pool.breaker, now) == "half_open":
        return f"the breaker waits for its probe ({kind})"
    return f"the breaker is open ({kind})"


def _limit_reason(pool: Pool, limit: Limit, now: float) -> str:
    usage = limit.meter.usage(pool.state(limit), now)
    return f"{limit.name}: {usage.used:.0f} of {usage.limit} used"
