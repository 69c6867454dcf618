"""Pools in the database: to make them, to put calls into them, to look at them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from lmx.workflows.errors import NotFound
from lmx.workflows.limits import breaker
from lmx.workflows.limits.folding import News, fold
from lmx.workflows.limits.pool import Pool, read_limits, read_pool
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement

#: The model group of the pool that holds what all groups of an account share.
SHARED: Final = "*"
#: Where a clock that runs at our own rate is taken to have begun.
EPOCH: Final = "2000-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """What a pool is and what it grants. `limits` is JSON as `lmx.workflows.limits.pool` reads it.

    `clock_rate` is how much faster than ours the provider's clock runs: 1, or more in a rehearsal,
    where it read `clock_origin` (ISO 8601) at that time.
    """

    queue: str
    provider: str
    account: str
    model_group: str
    limits: Sequence[Mapping[str, Any]]
    clock_rate: float = 1.0
    clock_origin: str = EPOCH

    @property
    def name(self) -> str:
        """How people call it: `anthropic/default/haiku`."""
        return f"{self.provider}/{self.account}/{self.model_group}"


@dataclass(frozen=True, slots=True)
class LimitView:
    """One limit of a pool: what is used of it now, in its dimension."""

    name: str
    of: str
    used: float
    limit: int


@dataclass(frozen=True, slots=True)
class PoolNow:
    """A pool as it is now: `pool` has the news in it that no claim has folded in yet.

    `now` is the time on the pool's clock, `next_in_s` when (in our seconds) it said that its next
    call may start, and `waits_for` why not now. `attended`: a worker with its key serves it.
    """

    id: int
    name: str
    queue: str
    provider: str
    model_group: str
    pool: Pool
    lowered: Mapping[str, int]
    now: float
    clock_rate: float
    ready: int
    running: int
    next_in_s: float | None
    waits_for: str | None
    deferred: int
    deferred_for: str | None
    attended: bool


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool for people: `next_in_s` is when the next call may start, `waits_for` why not now.

    `breaker_in_s` is when an open breaker lets its probe through, `quality_in_s` when routes may
    choose a pool again whose answers were rejected. `deferred` are calls that wait
    for the end of a period of an allowance, `deferred_for` says which.
    """

    id: int
    name: str
    queue: str
    limits: tuple[LimitView, ...]
    breaker: str
    breaker_kind: str | None
    breaker_in_s: float | None
    quality: str
    quality_in_s: float | None
    ready: int
    running: int
    next_in_s: float | None
    waits_for: str | None
    deferred: int = 0
    deferred_for: str | None = None
    lowered: Mapping[str, int] = field(default_factory=dict)


def put_pool(conn: psycopg.Connection[Any], spec: PoolSpec, shared: int | None = None) -> int:
    """Make a pool, or give it other limits; what it has counted stays. Returns its id.

    `shared` is the id of the pool whose limits it shares. Raises InvalidInput for a limit that
    makes no sense.
    """
    read_limits(spec.limits, {})
    conn.execute("INSERT INTO lmx.queues (name) VALUES (%s) ON CONFLICT DO NOTHING", [spec.queue])
    row = conn.execute(
        "INSERT INTO lmx.pools AS p (name, queue, provider, account, model_group, limits,"
        " clock_rate, clock_origin, shared_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (name) DO UPDATE SET queue = excluded.queue, limits = excluded.limits,"
        " clock_rate = excluded.clock_rate, clock_origin = excluded.clock_origin,"
        " shared_id = excluded.shared_id,"
        " next_at = CASE WHEN p.limits = excluded.limits THEN p.next_at END"
        " RETURNING id",
        [
            spec.name,
            spec.queue,
            spec.provider,
            spec.account,
            spec.model_group,
            encode(list(spec.limits)),
            spec.clock_rate,
            spec.clock_origin,
            shared,
        ],
    ).fetchone()
    assert row is not None
    return int(row[0])


def place_calls(conn: psycopg.Connection[Any], calls: Sequence[Mapping[str, Any]]) -> int:
    """Put calls that were just queued, or that wait elsewhere, into pools; returns how many.

    Each names its task by `id`, or by `parent_id` and `key`, and has `pool_id`, `model` and `costs`
    (what it is expected to use of each dimension). Part of the caller's transaction.
    """
    cursor = conn.execute(statement("place_calls"), {"ops": encode(calls)}, prepare=True)
    return len(cursor.fetchall())


#: What calls wait for whose account has no worker.
_UNATTENDED: Final = "no worker with its key runs"


def close_breaker(conn: psycopg.Connection[Any], name: str) -> None:
    """Close a pool's breakers, and let its calls go on at once. Raises NotFound."""
    closed = conn.execute(
        "WITH closed AS (UPDATE lmx.pools SET state = state - 'breaker' - 'quality' - 'not_before',"
        " next_at = NULL, waits_for = NULL WHERE name = %s RETURNING id, queue),"
        " forgotten AS (DELETE FROM lmx.pool_news n USING closed"
        " WHERE n.pool_id = closed.id AND n.kind IN ('failed', 'refused', 'judged'))"
        " SELECT pg_notify('lmx:' || queue, '') FROM closed",
        [name],
    ).fetchone()
    if closed is None:
        raise NotFound(f"no pool is called {name!r}", hint="see `lmx limits`")


def list_pools(conn: psycopg.Connection[Any]) -> list[PoolView]:
    """All pools for people, by name."""
    return [_view(row) for row in pools_now(conn)]


def pools_now(conn: psycopg.Connection[Any]) -> list[PoolNow]:
    """All pools as they are now, by name."""
    return [_now(*row) for row in conn.execute(statement("pools_now"), prepare=True).fetchall()]


def _now(
    pool_id: int,
    name: str,
    queue: str,
    provider: str,
    model_group: str,
    limits: Sequence[Mapping[str, Any]],
    state: Mapping[str, Any],
    clock_rate: float,
    now: float,
    news: Sequence[Any],
    *rest: Any,
) -> PoolNow:
    folded = fold(
        read_pool(limits, state), (News(*item) for item in news), state.get("lowered", {})
    )
    known = (pool_id, name, queue, provider, model_group, folded.pool, folded.lowered)
    return PoolNow(*known, now, clock_rate, *rest)


def _view(row: PoolNow) -> PoolView:
    pool, now = row.pool, row.now
    usages = [(limit, limit.meter.usage(pool.state(limit), now)) for limit in pool.limits]
    unattended = row.ready > 0 and not row.attended
    waits = not unattended and row.next_in_s is not None and row.next_in_s > 0 and row.ready > 0
    return PoolView(
        id=row.id,
        name=row.name,
        queue=row.queue,
        limits=tuple(LimitView(one.name, one.of, use.used, use.limit) for one, use in usages),
        breaker=breaker.phase(pool.breaker, now),
        breaker_kind=pool.breaker.get("kind"),
        breaker_in_s=_real(breaker.wait(pool.breaker, now), row.clock_rate),
        quality=breaker.phase(pool.quality, now),
        quality_in_s=_real(pool.quality.get("until", now) - now, row.clock_rate),
        ready=row.ready,
        running=row.running,
        next_in_s=row.next_in_s if waits else None,
        waits_for=_UNATTENDED if unattended else row.waits_for if waits else None,
        deferred=row.deferred,
        deferred_for=row.deferred_for,
        lowered=row.lowered,
    )


def _real(seconds: float, clock_rate: float) -> float | None:
    """Seconds of a pool's clock as ours count them; None for no time at all."""
    return seconds / clock_rate if seconds > 0 else None
