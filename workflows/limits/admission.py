"""Which of a pool's waiting calls may start now, and when the next one may."""

from collections.abc import Callable, Iterable, Iterator, Mapping
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
#: A wait that is named may be too short by what is lost in adding it to the time.
_ROUNDING_S: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Call:
    """A waiting call and the most that it may use of each dimension."""

    id: int
    bounds: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing more may start for `seconds`; `reason` says why, for people.

    The wait is `sure` if a call may start after it whatever is heard of others meanwhile.
    """

    seconds: float
    reason: str
    sure: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """A call may start at the time `at`, now or soon; its pool was charged these `costs` for it."""

    at: float
    costs: dict[str, int]


@dataclass(slots=True)
class Admission:
    """The decision: calls that start, when, and what the pool is charged for each; calls that never
    can, with the reason; calls that no allowance has room for; the pool after it, what it shares.

    `wait` is set when a call was left that has to wait: `waiting`, before which no other may start.
    """

    pool: Pool
    shared: Pool | None = None
    admitted: dict[int, Start] = field(default_factory=dict)
    deferred: dict[int, Deferral] = field(default_factory=dict)
    never: dict[int, str] = field(default_factory=dict)
    wait: Wait | None = None
    waiting: int | None = None


def admit(
    pool: Pool,
    now: float,
    calls: Iterable[Call],
    *,
    account: str = "",
    shared: Pool | None = None,
    purse: Purse | None = None,
    ahead: float = 0.0,
) -> Admission:
    """Take the calls in their order, each on top of those before it; the first that waits ends it.

    Later calls do not overtake one that waits: a large call would starve behind small ones. Only
    what waits for the end of a period is set aside, and comes before them when that has come.
    Every call counts in `shared`, too, and is paid out of the `purse` as one of `account`. What has
    to wait for no more than `ahead` seconds is charged now for the time at which it may start.
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
        wait = _wait(decision, now, costs, refusal)
        at = now if wait is None else now + wait.seconds
        if wait and not (wait.sure and wait.seconds <= ahead and _free(decision, at, costs)):
            decision.wait, decision.waiting = wait, call.id
            break
        _start(decision, now, at, call, costs)
        if purse:
            purse.take(call.id, account, amounts)
    return decision


def _start(decision: Admission, now: float, at: float, call: Call, costs: dict[str, int]) -> None:
    """Charge a call that may start at the time `at`; it is the probe of a half open breaker."""
    if breaker.phase(decision.pool.breaker, now) == "half_open":
        probe = breaker.probing(decision.pool.breaker, now, call.id)
        decision.pool = replace(decision.pool, breaker=probe)
    decision.pool = decision.pool.charge(now, costs, at)
    if decision.shared is not None:
        decision.shared = decision.shared.charge(now, costs, at)
    decision.admitted[call.id] = Start(at, costs)


def _wait(
    decision: Admission, now: float, costs: Mapping[str, int], refusal: Settling | None
) -> Wait | None:
    """What a call has to wait for: its pool, what that shares, money that is held."""
    waits = [next_wait(decision.pool, now, costs)]
    if decision.shared is not None:
        waits.append(next_wait(decision.shared, now, costs))
    if refusal is not None:
        waits.append(Wait(refusal.seconds, refusal.reason))
    return _longest(filter(None, waits))


def _longest(waits: Iterable[Wait]) -> Wait | None:
    """The longest wait, which is sure only if every one is."""
    known = list(waits)
    if not known:
        return None
    longest = max(known, key=lambda wait: wait.seconds)
    return replace(longest, sure=all(wait.sure for wait in known))


def _free(decision: Admission, at: float, costs: Mapping[str, int]) -> bool:
    """Whether a call may start at the time `at`, as far as is known now.

    The longest of several waits may end on a day, or in a pause, that the others did not see.
    """
    later = _wait(decision, at, costs, None)
    return later is None or later.seconds <= _ROUNDING_S


def next_wait(pool: Pool, now: float, costs: Mapping[str, int]) -> Wait | None:
    """Why and for how long a call with these costs has to wait; None: it may start now."""
    reasons = [reason for reason in _reasons(pool, now, costs) if reason.seconds > 0]
    if not reasons:
        return None
    longest = max(reasons, key=lambda reason: reason.seconds)
    sure = all(reason.sure for reason in reasons)
    return Wait(longest.seconds, longest.told(), sure)


@dataclass(frozen=True, slots=True)
class _Reason:
    """What may keep a call back for `seconds`; `told` puts it into words, only where it counts."""

    seconds: float
    told: Callable[[], str]
    sure: bool


def _reasons(pool: Pool, now: float, costs: Mapping[str, int]) -> Iterator[_Reason]:
    yield _Reason(breaker.wait(pool.breaker, now), lambda: _breaker_reason(pool, now), sure=False)
    yield _Reason(pool.not_before - now, lambda: "the provider asked for a pause", sure=True)
    for limit in pool.limits:
        told = partial(_limit_reason, pool, limit, now)
        amount = limit.amount(costs) + pool.overdue(limit, now)
        if amount <= limit.meter.limit:
            yield _Reason(limit.meter.wait(pool.state(limit), now, amount), told, sure=True)
        else:  # until something is heard of those on their way
            yield _Reason(_UNHEARD_S, told, sure=False)


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
    rule = breaker.RULES.get(kind)
    return f"the breaker is open ({kind})" + (f": {rule.says}" if rule else "")


def _limit_reason(pool: Pool, limit: Limit, now: float) -> str:
    usage = limit.meter.usage(pool.state(limit), now)
    return f"{limit.name}: {usage.used:.0f} of {usage.limit} used"
