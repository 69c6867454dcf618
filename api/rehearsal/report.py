"""What a rehearsal comes to: throughput, waits, cost, and how full each limit was. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any, Final

#: Per dimension: what was counted in each second of the provider's clock.
Seconds = Mapping[str, Mapping[int, int]]
_MINUTE: Final = 60.0
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Watched:
    """A pool as it was watched from `begin` to `end`, in seconds of the provider's clock.

    `waits` are the seconds that calls waited; those that had not begun waited until `end`.
    """

    pool: str
    planned: int
    begin: float
    end: float
    seconds: Seconds
    limits: Sequence[Mapping[str, Any]] = ()
    refused: int = 0
    waits: Sequence[float] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class PoolReport:
    """What went through a pool, and how full the limit was that bound it.

    Times are the provider's: calls `per_minute` once the start is over, waits in seconds at the
    median and for the slowest twentieth, `done_in_min` minutes for all calls (an estimate while
    some are left).
    """

    pool: str
    calls: int
    planned: int
    per_minute: float
    done_in_min: float
    wait_p50_s: float
    wait_p95_s: float
    input_tokens: int
    output_tokens: int
    nano_usd: int
    limit: str | None
    share: float | None
    refused: int


def report(watched: Watched) -> PoolReport:
    """Sum up one pool."""
    sums = {of: sum(counts.values()) for of, counts in watched.seconds.items()}
    calls = sums.get("requests", 0)
    minutes = _busy_s(watched) / _MINUTE
    per_minute = _per_minute(watched)
    p50, p95 = _waits(watched.waits)
    limit, share = binding(watched)
    left = max(0, watched.planned - calls)
    return PoolReport(
        pool=watched.pool,
        calls=calls,
        planned=watched.planned,
        per_minute=per_minute,
        done_in_min=minutes + (left / per_minute if per_minute else 0.0),
        wait_p50_s=p50,
        wait_p95_s=p95,
        input_tokens=sums.get("input_tokens", 0),
        output_tokens=sums.get("output_tokens", 0),
        nano_usd=sums.get("usd", 0),
        limit=limit,
        share=share,
        refused=watched.refused,
    )


def binding(watched: Watched) -> tuple[str | None, float | None]:
    """The limit that was fullest on the average, and how full it was; None without limits."""
    end = watched.begin + _busy_s(watched)
    shares = {
        str(row["name"]): mean_fill(
            watched.seconds.get(str(row["of"]), {}),
            float(row["limit"]),
            float(row.get("period_s", _DAY_S if row["kind"] == "day" else _MINUTE)),
            watched.begin,
            end,
        )
        for row in watched.limits
        if "limit" in row
    }
    if not shares:
        return None, None
    name = max(shares, key=lambda one: shares[one])
    return name, shares[name]


def mean_fill(
    seconds: Mapping[int, int], limit: float, period_s: float, begin: float, end: float
) -> float:
    """What the last `period_s` seconds held, averaged from a period after `begin` to `end`.

    As a share of `limit`: a client that loses no moment comes to 1.0, or just above it where what
    a bucket is full of at first lasts for longer than the first period, which is left out. A longer
    period than there was is taken once.
    """
    if end - begin <= period_s:
        return sum(seconds.values()) / limit
    since, held = begin + period_s, 0.0
    for second, amount in seconds.items():
        at = second + 0.5
        held += amount * max(0.0, min(at + period_s, end) - max(at, since))
    return held / (limit * (end - since))


def changes(
    before: Sequence[PoolReport], after: Sequence[PoolReport]
) -> dict[str, tuple[float, float, float]]:
    """Calls a minute of each pool in two runs, and by what part they changed."""
    later = {one.pool: one.per_minute for one in after}
    return {
        one.pool: (one.per_minute, later[one.pool], later[one.pool] / one.per_minute - 1.0)
        for one in before
        if one.per_minute and one.pool in later
    }


def _busy_s(watched: Watched) -> float:
    """Until the last was counted if all calls were made, or else to the end."""
    counted = [second for counts in watched.seconds.values() for second in counts]
    if sum(watched.seconds.get("requests", {}).values()) < watched.planned or not counted:
        return watched.end - watched.begin
    return min(watched.end, max(counted) + 1) - watched.begin


def _per_minute(watched: Watched) -> float:
    """Calls in a minute, averaged over all minutes but those that hold the start."""
    requests, busy = watched.seconds.get("requests", {}), _busy_s(watched)
    if busy <= 2 * _MINUTE:
        return sum(requests.values()) / busy * _MINUTE if busy else 0.0
    return mean_fill(requests, 1.0, _MINUTE, watched.begin, watched.begin + busy)


def _waits(waits: Sequence[float]) -> tuple[float, float]:
    if len(waits) < 2:
        return (waits[0], waits[0]) if waits else (0.0, 0.0)
    cuts = quantiles(waits, n=20, method="inclusive")
    return cuts[9], cuts[18]
