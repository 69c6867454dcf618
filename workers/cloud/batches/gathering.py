"""Gathers waiting calls into batches: when one is sent, and which calls go with it."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import psycopg

from lmx.workers import outcome
from lmx.workflows import faults
from lmx.workflows.allowances.holding import hold, lock_purse
from lmx.workflows.allowances.purse import Deferral, Purse, amounts_of
from lmx.workflows.lease import Lease
from lmx.workflows.limits.admission import Wait, next_wait
from lmx.workflows.limits.folding import News, fold
from lmx.workflows.limits.pool import Pool, read_pool, write_state
from lmx.workflows.operations import apply, encode
from lmx.workflows.providers.batching import GATHERING, BatchTerms
from lmx.workflows.sql import statement

_MEGABYTE: Final = 1_000_000
#: Characters of a token, which makes a batch's custom ids unlike all others.
_TOKEN_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Queued:
    """What of an account is at its provider in batches."""

    batches: int = 0
    calls: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Gathering:
    """The decision for one pool: `take` calls go now, or it waits; until when it gathers."""

    take: int
    wait: Wait | None
    until: float | None


def decide(
    pool: Pool, now: float, ready: int, until: float | None, queued: Queued, terms: BatchTerms
) -> Gathering:
    """Whether a batch is sent now of the `ready` calls that wait; `until` is when it must be.

    Pure; times are on the pool's clock.
    """
    if not ready:  # all are of paused runs
        return Gathering(0, None, None)
    if wait := next_wait(pool, now, {}):
        return Gathering(0, wait, until)
    if ready < terms.enough:
        until = now + terms.wait_s if until is None else until
        if now < until:
            return Gathering(0, Wait(until - now, GATHERING), until)
    if reason := _full(queued, terms):
        return Gathering(0, Wait(terms.poll_s, reason), until)
    left = terms.queued_calls - queued.calls if terms.queued_calls else terms.max_calls
    return Gathering(min(left, terms.max_calls), None, until)


def _full(queued: Queued, terms: BatchTerms) -> str | None:
    """Which of the provider's limits on what it keeps is used up."""
    for what, used, limit in (
        ("batches", queued.batches, terms.queued_batches),
        ("calls", queued.calls, terms.queued_calls),
        ("input tokens", queued.tokens, terms.queued_tokens),
    ):
        if limit is not None and used >= limit:
            return f"{used} of {limit} {what} are in batches at the provider"
    return None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call that waits for a batch; `size` is in bytes, of its input and its files."""

    id: int
    model: str
    costs: Mapping[str, int]
    size: int


@dataclass(slots=True)
class Chosen:
    """The calls of one model that go together, and what they are; those that no allowance has room
    for, and why the next one has to wait."""

    model: str
    ids: list[int] = field(default_factory=list)
    tokens: int = 0
    size: int = 0
    deferred: list[dict[str, Any]] = field(default_factory=list)
    wait: Wait | None = None

    def add(self, call: Waiting) -> None:
        """Let a call go with them."""
        self.ids.append(call.id)
        self.tokens += call.costs.get("input_tokens", 0)
        self.size += call.size


def choose(
    waiting: Sequence[Waiting], queued: Queued, terms: BatchTerms, account: str, purse: Purse | None
) -> Chosen:
    """The calls of the foremost one's model that go now, in their order; one always fits.

    They are paid out of the `purse`, as those of `account`. Pure but for that.
    """
    chosen = Chosen(waiting[0].model)
    room = terms.queued_tokens - queued.tokens if terms.queued_tokens else None
    for call in (call for call in waiting if call.model == chosen.model):
        tokens = chosen.tokens + call.costs.get("input_tokens", 0)
        too_many = room is not None and tokens > room
        if chosen.ids and (too_many or chosen.size + call.size > terms.max_mb * _MEGABYTE):
            break
        amounts = amounts_of(call.costs)
        refusal = purse.refusal(account, amounts) if purse else None
        if isinstance(refusal, Deferral):
            row = {"task": call.id, "until": refusal.until, "reason": refusal.reason}
            chosen.deferred.append(row)
            continue
        if refusal is not None:
            chosen.wait = Wait(refusal.seconds, refusal.reason)
            break
        if purse:
            purse.take(call.id, account, amounts)
        chosen.add(call)
    return chosen


def gather(
    conn: psycopg.Connection[Any], queue: str, worker: int, terms: BatchTerms
) -> tuple[int, float | None]:
    """Put what is due into batches, one for each pool at the most.

    Returns how many, and in how many seconds of ours there will be more to do, if that is known.
    """
    with conn.transaction():
        asked = {"queue": queue, "worker": worker}
        locked = conn.execute(statement("lock_batch_pools"), asked).fetchall()
        if not locked:
            return 0, None
        account, paid = locked[0][1:]
        purse = lock_purse(conn, {account}) if paid else None
        turn = _Turn(conn, queue, worker, terms, account, purse)
        read = {"ids": [row[0] for row in locked], "queue": queue, "enough": terms.enough}
        for row in conn.execute(statement("read_batch_pools"), read).fetchall():
            turn.see_to(_Found(*row))
        conn.execute(statement("write_pools"), {"pools": encode(turn.written)})
        made, due = turn.made, turn.due
        faults.points({"batch"} if made else (), "before")
    faults.points({"batch"} if made else (), "after")
    return made, due


@dataclass(frozen=True, slots=True)
class _Found:
    """A locked pool of calls that wait for batches."""

    id: int
    state: Any
    rate: float
    now: float
    ready: int
    news: Any
    at_provider: Sequence[int]

    @property
    def queued(self) -> Queued:
        """What the account has at the provider."""
        return Queued(*self.at_provider)

    def fold(self) -> Pool:
        """The pool with its news folded in."""
        known = read_pool([], self.state)
        return fold(known, (News(*one) for one in self.news), {}).pool

    def written(self, pool: Pool, gathering: Gathering) -> dict[str, Any]:
        """The pool's row as write_pools.sql takes it."""
        # While calls are left, the next batch goes at once; the last one ends the gathering.
        over = gathering.take >= self.ready and gathering.wait is None
        state = write_state(pool, {})
        if gathering.until is not None and not over:
            state["gathers_until"] = gathering.until
        wait = gathering.wait
        return {
            "id": self.id,
            "state": state,
            "wait": None if wait is None else wait.seconds,
            "reason": None if wait is None else wait.reason,
            "now": self.now,
            "charged": {},
        }


@dataclass(slots=True)
class _Turn:
    """One gathering of an account's pools."""

    conn: psycopg.Connection[Any]
    queue: str
    worker: int
    terms: BatchTerms
    account: str
    purse: Purse | None
    made: int = 0
    due: float | None = None
    written: list[dict[str, Any]] = field(default_factory=list)

    def see_to(self, found: _Found) -> None:
        """Decide for a pool, and make its batch if one goes now."""
        pool = found.fold()
        until = found.state.get("gathers_until")
        gathering = decide(pool, found.now, found.ready, until, found.queued, self.terms)
        if gathering.take:
            gathering = replace(gathering, wait=self._make(found, gathering.take))
        self.written.append(found.written(pool, gathering))
        if gathering.wait is not None:
            seconds = gathering.wait.seconds / found.rate
            self.due = seconds if self.due is None else min(self.due, seconds)

    def _make(self, pool: _Found, limit: int) -> Wait | None:
        """Lease the calls that go now, hold what they may cost, and park them in a batch.

        Returns why others have to wait.
        """
        asked = {"pool": pool.id, "limit": limit}
        rows = self.conn.execute(statement("batch_candidates"), asked).fetchall()
        if not rows:
            return None
        calls = [Waiting(*row) for row in rows]
        chosen = choose(calls, pool.queued, self.terms, self.account, self.purse)
        if chosen.deferred:
            self.conn.execute(statement("defer_calls"), {"calls": encode(chosen.deferred)})
        if ids := self._lease(chosen.ids):
            row = {
                "pool": pool.id,
                "model": chosen.model,
                "token": secrets.token_hex(_TOKEN_BYTES),
                "tokens": chosen.tokens,
                "ids": ids,
                "worker": self.worker,
            }
            self.conn.execute(statement("put_batch"), row)
            self.made += 1
        return chosen.wait

    def _lease(self, ids: list[int]) -> list[int]:
        """Lease calls, and hold what they may cost; those whose budget cannot hold it fail."""
        if not ids:
            return []
        claimed = {"chosen": ids, "queue": self.queue, "worker": self.worker}
        rows = self.conn.execute(statement("claim_chosen"), claimed)
        leases = [Lease.from_row(row) for row in rows]
        if self.purse is not None and self.purse.holds:
            hold(self.conn, self.purse, self.worker)
            self.purse.holds.clear()
        if refused := [outcome.unaffordable(lease) for lease in leases if not lease.affordable]:
            apply(self.conn, refused)
        return [lease.task_id for lease in leases if lease.affordable]
