"""A pool: the limits of one provider, account and model group, with what is used of each.

Limits are written as JSON in the pool's row and in the shipped table of limits:

    {"name": "requests/min", "of": "requests", "kind": "bucket", "limit": 50, "period_s": 60}
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lmx.workflows.errors import InvalidInput
from lmx.workflows.limits import breaker
from lmx.workflows.limits.breaker import Breaker
from lmx.workflows.limits.bucket import Bucket
from lmx.workflows.limits.day import Day
from lmx.workflows.limits.learning import Learnt
from lmx.workflows.limits.meter import Meter, State
from lmx.workflows.limits.share import Share
from lmx.workflows.limits.window import Window

#: A call on its way: when it was charged, what, and when the provider was first heard of it.
Flying = tuple[float, Mapping[str, int], float | None]
#: What a call uses: its own count, tokens in and out, nano-dollars.
DIMENSIONS: Final = ("requests", "input_tokens", "output_tokens", "usd")
_KINDS: Final[Mapping[str, Callable[..., Meter]]] = {
    "bucket": Bucket,
    "window": Window,
    "day": Day,
    "share": Share,
}


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a pool: `meter` counts the dimension `of`."""

    name: str
    of: str
    meter: Meter

    def amount(self, costs: Mapping[str, int]) -> int:
        """What a call with these costs takes of this limit."""
        return costs.get(self.of, 0)


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool as its row has it; `states` holds what each limit has counted, by the limit's name.

    `breaker` keeps calls back while the provider fails, `quality` routes while its answers do.
    Before `not_before` nothing starts: the provider asked for that pause. `learnt` says how the
    tokens that calls used compare with what they may use at the most. `flying` are calls of which
    nothing was heard yet: when each was charged, and what.
    """

    limits: Sequence[Limit]
    states: Mapping[str, State] = field(default_factory=dict)
    breaker: Breaker = field(default_factory=dict)
    quality: Breaker = field(default_factory=dict)
    not_before: float = 0.0
    learnt: Learnt = field(default_factory=dict)
    flying: Sequence[Flying] = ()

    def limit(self, name: str) -> Limit | None:
        """The limit called `name`."""
        return next((limit for limit in self.limits if limit.name == name), None)

    def state(self, limit: Limit) -> State:
        """What `limit` has counted."""
        return self.states.get(limit.name, {})

    def with_states(self, states: Mapping[str, State]) -> "Pool":
        """The pool with these states in place of the old ones."""
        return replace(self, states={**self.states, **states})

    def overdue(self, limit: Limit, now: float) -> int:
        """What the provider may still count for calls that have left a limit's own count."""
        return sum(
            limit.amount(costs)
            for charged_at, costs, heard_at in self.flying
            if limit.meter.forgets(now, charged_at)
            and (heard_at is None or not limit.meter.forgets(now, heard_at))
        )

    def charge(self, now: float, costs: Mapping[str, int], at: float | None = None) -> "Pool":
        """Count a call that starts at the time `at`, now or soon."""
        return self.with_states(
            {
                limit.name: limit.meter.charge(self.state(limit), now, limit.amount(costs), at)
                for limit in self.limits
            }
        )

    def earlier(self, seconds: float) -> "Pool":
        """The pool as if all had happened so much earlier: the clock was set back by that."""
        moved = self.with_states(
            {limit.name: limit.meter.earlier(self.state(limit), seconds) for limit in self.limits}
        )
        return replace(
            moved,
            breaker=breaker.earlier(self.breaker, seconds),
            quality=breaker.earlier(self.quality, seconds),
            not_before=max(0.0, self.not_before - seconds),
        )


def read_limits(rows: Sequence[Mapping[str, Any]], lowered: Mapping[str, int]) -> list[Limit]:
    """The limits of a pool, each no larger than what the provider was heard to grant (`lowered`).

    Raises InvalidInput for a limit that cannot be understood.
    """
    limits = []
    for row in rows:
        options = {key: value for key, value in row.items() if key not in ("name", "of", "kind")}
        name, kind = str(row.get("name", "")), str(row.get("kind", ""))
        if not name or kind not in _KINDS or row.get("of") not in DIMENSIONS:
            raise InvalidInput(
                f"{dict(row)} is not a limit",
                hint=f"write name, of ({', '.join(DIMENSIONS)}) and kind ({', '.join(_KINDS)})",
            )
        if name in lowered and "limit" in options:
            options["limit"] = min(options["limit"], lowered[name])
        try:
            meter = _KINDS[kind](**options)
        except TypeError as error:
            raise InvalidInput(f"the limit {name!r} cannot be used: {error}") from None
        limits.append(Limit(name, row["of"], meter))
    return limits


def read_pool(limits: Sequence[Mapping[str, Any]], state: Mapping[str, Any]) -> Pool:
    """A pool from the two JSON columns of its row."""
    return Pool(
        read_limits(limits, state.get("lowered", {})),
        state.get("limits", {}),
        breaker=state.get("breaker", {}),
        quality=state.get("quality", {}),
        not_before=state.get("not_before", 0.0),
        learnt=state.get("learnt", {}),
    )


def write_state(pool: Pool, lowered: Mapping[str, int]) -> dict[str, Any]:
    """The JSON column `state` of a pool; `read_pool` reads it."""
    state: dict[str, Any] = {
        "limits": {name: dict(value) for name, value in pool.states.items() if value},
        "breaker": dict(pool.breaker),
        "quality": dict(pool.quality),
        "not_before": pool.not_before,
        "learnt": dict(pool.learnt),
        "lowered": dict(lowered),
    }
    return {key: value for key, value in state.items() if value}
