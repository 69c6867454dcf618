"""How long a call would wait in a pool behind those that wait there already. Pure."""

from collections.abc import Mapping
from typing import Final

from lmx.workflows.limits.admission import Wait, next_wait
from lmx.workflows.limits.learning import expected
from lmx.workflows.limits.pool import Limit, Pool
from lmx.workflows.limits.share import Share

_DAY_S: Final = 86_400.0


def wait_behind(
    pool: Pool, now: float, bounds: Mapping[str, int], ahead: Mapping[str, int]
) -> Wait | None:
    """Why and for about how long a call with these bounds would wait; None: it may start now.

    `ahead` are the bounds of all calls before it, added up. Seconds are of the pool's own clock.
    """
    costs, before = expected(pool.learnt, bounds), expected(pool.learnt, ahead)
    waits = [_behind(pool, limit, now, costs, before) for limit in pool.limits]
    longest = max(waits, key=lambda wait: wait.seconds, default=Wait(0.0, ""))
    first = next_wait(pool, now, costs)
    if first is not None and first.seconds >= longest.seconds:
        return first
    return longest if longest.seconds > 0 else None


def crowded(pool: Pool, now: float) -> str | None:
    """The name of a long window of which so much is used that other pools should be preferred."""
    for limit in pool.limits:
        if isinstance(limit.meter, Share) and limit.meter.crowded(pool.state(limit), now):
            return limit.name
    return None


def _behind(
    pool: Pool, limit: Limit, now: float, costs: Mapping[str, int], before: Mapping[str, int]
) -> Wait:
    meter, amount = limit.meter, limit.amount(costs)
    if isinstance(meter, Share) or amount > meter.limit:
        return Wait(0.0, "")
    periods, rest = divmod(limit.amount(before), meter.limit)
    state = meter.charge(pool.state(limit), now, rest)
    seconds = periods * getattr(meter, "period_s", _DAY_S) + meter.wait(state, now, amount)
    used = meter.usage(pool.state(limit), now)
    return Wait(seconds, f"{limit.name}: {used.used:.0f} of {used.limit} used")
