"""What can be called now: every model in each of its pools, as far as one call is concerned."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from lmx.workflows.allowances.looking import clock, purse_of
from lmx.workflows.allowances.purse import Deferral, Purse, amounts_of
from lmx.workflows.errors import LmxError
from lmx.workflows.generation import TEMPLATE_TOKENS, default_max_tokens
from lmx.workflows.limits import breaker
from lmx.workflows.limits.admission import Wait
from lmx.workflows.limits.queueing import crowded, wait_behind
from lmx.workflows.models import Model, list_models, refuse_oversized
from lmx.workflows.money import price
from lmx.workflows.names import GPU
from lmx.workflows.pools import SHARED, PoolNow, pools_now
from lmx.workflows.providers.batching import of_batches
from lmx.workflows.providers.planning import default_output, longest_s, worst_cost
from lmx.workflows.providers.publishing import PublishedModel, published_models
from lmx.workflows.routing.decide import Option
from lmx.workflows.routing.features import Features
from lmx.workflows.sql import statement

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Ahead:
    """What waits in a pool already: how much of each dimension; whether a worker serves it."""

    bounds: Mapping[str, int]
    attended: bool


@dataclass(frozen=True, slots=True)
class LocalQueue:
    """What waits for local models already, how many calls run, how long they usually take."""

    ahead: int
    running: int
    took_s: float
    attended: bool

    @property
    def wait_s(self) -> float:
        """About how long a call would wait: those before it, as many at a time as run now."""
        return self.ahead * self.took_s / max(1, self.running)


@dataclass(frozen=True, slots=True)
class Survey:
    """All models and pools as they are now. `local` has each local model with why it never fits."""

    published: Sequence[PublishedModel]
    pools: Sequence[tuple[PoolNow, Ahead]]
    local: Sequence[tuple[Model, str | None]]
    queue: LocalQueue
    purse: Purse
    now: float
    n_ctx: int = 0

    def options(self, features: Features) -> list[Option]:
        """Every option for a call with these features."""
        groups = {(pool.provider, pool.model_group) for pool, _ in self.pools}
        cloud = []
        for known in self.published:
            model = known.model
            batches = (model.provider, of_batches(model.group))
            batched = features.cheap and batches in groups
            group = batches if batched else (model.provider, model.group)
            cloud += [
                self._there(features, known, pool, ahead, batched=batched)
                for pool, ahead in self.pools
                if (pool.provider, pool.model_group) == group
            ]
        return cloud + [self._here(features, *known) for known in self.local]

    def _there(
        self,
        features: Features,
        known: PublishedModel,
        row: PoolNow,
        ahead: Ahead,
        *,
        batched: bool,
    ) -> Option:
        model = known.model
        wanted = features.max_tokens or default_output(model.max_output)
        try:
            cost = worst_cost(known, features.prompt_bytes, wanted, batched=batched)
            refused = None
        except LmxError as error:  # no price is known: a model of the user's own
            cost, refused = 0, error.message
        bounds = {"requests": 1, "input_tokens": features.prompt_tokens}
        bounds |= {"output_tokens": wanted, "usd": cost, "seconds": longest_s(wanted)}
        wait = None if batched else self._wait(row, ahead, bounds)
        long_window = crowded(row.pool, row.now)
        return Option(
            model=model.id,
            queue=row.queue,
            pool_id=row.id,
            pool=row.name,
            context=model.context,
            max_output=model.max_output,
            features=model.features,
            cost=cost,
            wait_s=wait.seconds if wait else 0.0,
            waits_for=wait.reason if wait else None,
            attended=ahead.attended,
            rejected=_rejected(row),
            avoid=f"much of its {long_window} is used" if long_window else None,
            refused=refused,
        )

    def _wait(self, row: PoolNow, ahead: Ahead, bounds: Mapping[str, int]) -> Wait | None:
        """The longest wait, in our seconds: in a pool, in what the pools of its account share, for
        the end of a period whose allowance is used up."""
        account = row.name.rpartition("/")[0]
        pools = [row, *(one for one, _ in self.pools if one.name == f"{account}/{SHARED}")]
        waits = [
            Wait(wait.seconds / one.clock_rate, wait.reason)
            for one in pools
            if (wait := wait_behind(one.pool, one.now, bounds, ahead.bounds))
        ]
        refusal = self.purse.refusal(account, amounts_of(bounds))
        if isinstance(refusal, Deferral):
            waits.append(Wait(refusal.until - self.now, refusal.reason))
        elif refusal is not None:
            waits.append(Wait(refusal.seconds, refusal.reason))
        return max(waits, key=lambda wait: wait.seconds, default=None)

    def _here(self, features: Features, row: Model, never_fits: str | None) -> Option:
        context = self.n_ctx or row.n_ctx
        wanted = features.max_tokens or default_max_tokens(context)
        tokens = min(context, features.prompt_bytes + TEMPLATE_TOKENS)
        formless = features.messages and not row.info.get("chat_template")
        return Option(
            model=row.name,
            queue=GPU,
            local=True,
            context=context,
            max_output=context - 1,
            features=_features(row),
            cost=price(tokens, row.price_in) + price(wanted, row.price_out),
            wait_s=self.queue.wait_s,
            waits_for=f"{self.queue.ahead} calls before it",
            attended=self.queue.attended,
            refused="it has no chat template for messages" if formless else never_fits,
        )


def survey(
    conn: Connection,
    *,
    n_ctx: int = 0,
    place: tuple[int | None, float | None] = (None, None),
) -> Survey:
    """Look at all models and pools.

    `n_ctx` is the context that a call asks of a local model, 0 for its own. `place` is the pool in
    which it waits already, and its rank in the queue.
    """
    asked = dict(zip(("pool", "rank"), place, strict=True))
    waiting = {
        row[0]: Ahead(_extrapolated(row[1], row[2]), row[3])
        for row in conn.execute(statement("pools_ahead"), asked, prepare=True)
    }
    now = clock(conn)
    generating = [row for row in list_models(conn) if row.info.get("generates") is not False]
    return Survey(
        published_models(conn),
        [(pool, waiting[pool.id]) for pool in pools_now(conn) if pool.id in waiting],
        [(row, _never_fits(conn, row, n_ctx or row.n_ctx)) for row in generating],
        _local_queue(conn, place[1] if place[0] is None else None),
        purse_of(conn, now),
        now,
        n_ctx,
    )


def _extrapolated(sample: Sequence[Mapping[str, int]], count: int) -> dict[str, int]:
    """What so many calls use if they are like the sample."""
    total: Counter[str] = Counter()
    for costs in sample:
        total.update({of: int(amount) for of, amount in costs.items()})
    return {of: amount * count // len(sample) for of, amount in total.items()}


def _features(row: Model) -> frozenset[str]:
    known = {"json_schema", "grammar"}
    known |= {"tools"} if row.info.get("tools") else set()
    return frozenset(known | ({"thinking"} if row.info.get("reasoning") else set()))


def _never_fits(conn: Connection, row: Model, context: int) -> str | None:
    try:
        refuse_oversized(conn, row, context, None)
    except LmxError as error:
        return error.message
    return None


def _rejected(row: PoolNow) -> str | None:
    """What the breaker of a pool's quality says; half open it is tried again."""
    if breaker.phase(row.pool.quality, row.now) != "open":
        return None
    return "its last answers were rejected"


def _local_queue(conn: Connection, rank: float | None) -> LocalQueue:
    asked = {"queue": GPU, "rank": rank}
    row = conn.execute(statement("gpu_ahead"), asked, prepare=True).fetchone()
    assert row is not None
    return LocalQueue(*row)
