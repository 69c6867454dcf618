"""What was learnt of a pool between two claims, folded into its state in the order it happened.

Whoever learns something writes a row of news in the transaction that records it; the next claim,
which locks the pool anyway, folds it in. So a call that ends never locks its pool.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from lmx.workflows.limits import breaker
from lmx.workflows.limits.day import Day
from lmx.workflows.limits.learning import learn
from lmx.workflows.limits.meter import Charge
from lmx.workflows.limits.pool import Pool
from lmx.workflows.limits.share import Share

#: How long a pool rests when the provider refuses a request and does not say for how long.
_DEFAULT_PAUSE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class News:
    """Something that happened at `at`, on the pool's clock. `data` depends on the kind:

    used      charged_at, heard_at, bound, estimate and real (amounts by dimension); it is the last
              news of a call: what it tells of its provider is told before
    lost      charged_at, heard_at?, estimate: nobody knows what became of the call, which may have
              arrived
    told      limits: {name: {remaining, limit, resets_at?}}
    refused   retry_after?, limit? (the name), granted? (what the provider says it is)
    failed    kind (of breaker.RULES), for_s? (the provider's own pause), month? (until its end)
    succeeded nothing
    judged    accepted (whether somebody is content with the answer), reason?
    """

    kind: str
    at: float
    task_id: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Folded:
    """The pool after the news, and the limits that the provider was heard to have lowered."""

    pool: Pool
    lowered: Mapping[str, int]


def fold(pool: Pool, news: Iterable[News], lowered: Mapping[str, int]) -> Folded:
    """Fold news in. Nothing the provider says raises a limit or gives back what is counted."""
    known = dict(lowered)
    for item in news:
        match item.kind:
            case "used":
                pool = _true_up(pool, item)
            case "lost":
                pool = _counted_late(pool, item)
            case "told":
                pool = _told(pool, item, known)
            case "refused":
                pool = _refused(pool, item, known)
            case "failed":
                kind, until = item.data["kind"], _until(item)
                state = breaker.failed(pool.breaker, item.at, kind, item.task_id, until)
                pool = replace(pool, breaker=state)
            case "succeeded":
                state = breaker.succeeded(pool.breaker, item.task_id)
                pool = replace(pool, breaker=state)
            case "judged":
                good = bool(item.data["accepted"])
                state = breaker.judged(pool.quality, item.at, item.task_id, accepted=good)
                pool = replace(pool, quality=state)
    return Folded(pool, known)


def _until(item: News) -> float | None:
    """The provider's own deadline, if it gave one. A spend limit holds for the month (UTC)."""
    if item.data.get("month"):
        now = datetime.fromtimestamp(item.at, UTC)
        first = (now.replace(day=1) + timedelta(days=32)).replace(day=1)
        return first.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    return item.at + item.data["for_s"] if "for_s" in item.data else None


def _true_up(pool: Pool, item: News) -> Pool:
    """Put what a call really used in place of what it was expected to use: nothing, if it was not
    sent."""
    real = item.data["real"]
    heard_at = item.data.get("heard_at", item.data["charged_at"])
    known = replace(
        pool,
        learnt=learn(pool.learnt, item.data.get("bound", {}), real),
        breaker=breaker.over(pool.breaker, item.task_id),
    )
    return _corrected(known, item, heard_at, real)


def _counted_late(pool: Pool, item: News) -> Pool:
    """Its request may have arrived at any time until now: if it was not heard of, it counts from
    now on."""
    known = replace(pool, breaker=breaker.over(pool.breaker, item.task_id))
    heard_at = item.data.get("heard_at")
    return _corrected(known, item, item.at if heard_at is None else heard_at, item.data["estimate"])


def _corrected(pool: Pool, item: News, heard_at: float, real: Mapping[str, int]) -> Pool:
    estimate, charged_at = item.data["estimate"], item.data["charged_at"]
    if charged_at is None:  # it could never start, so nothing was charged
        return pool
    states = {}
    for limit in pool.limits:
        amount, used = estimate.get(limit.of, 0), real.get(limit.of, 0)
        if amount or used:
            charge = Charge(charged_at, min(heard_at, item.at), amount)
            states[limit.name] = limit.meter.correct(pool.state(limit), item.at, charge, used)
    return pool.with_states(states)


def _told(pool: Pool, item: News, lowered: dict[str, int]) -> Pool:
    states = {}
    for name, told in item.data["limits"].items():
        limit = pool.limit(name)
        if limit is None:
            continue
        state = pool.state(limit)
        if isinstance(limit.meter, Share) and "resets_at" in told:
            state = limit.meter.until(state, told["resets_at"])
        granted = told.get("limit", limit.meter.limit)
        if granted < limit.meter.limit:
            lowered[name] = granted
        if "remaining" in told:
            state = limit.meter.told(state, item.at, told["remaining"], granted)
        states[name] = state
    return pool.with_states(states)


def _refused(pool: Pool, item: News, lowered: dict[str, int]) -> Pool:
    """A refusal for a limit: believe the provider, and rest for as long as it asks.

    One right after midnight does not stop the whole new day.
    """
    limit = pool.limit(item.data.get("limit", ""))
    retry_after = item.data.get("retry_after")
    if limit is not None:
        granted = item.data.get("granted", limit.meter.limit)
        if granted < limit.meter.limit:
            lowered[limit.name] = granted
        old = isinstance(limit.meter, Day) and limit.meter.just_began(item.at)
        if retry_after is None and not old:
            exhausted = limit.meter.exhausted(pool.state(limit), item.at)
            return pool.with_states({limit.name: exhausted})
    pause = _DEFAULT_PAUSE_S if retry_after is None else retry_after
    return replace(pool, not_before=max(pool.not_before, item.at + pause))
