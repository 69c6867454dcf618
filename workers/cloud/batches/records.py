"""The rows of batches: taken, written, given back. Every write is one short transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from lmx.workflows.lease import Lease
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement

Connection = psycopg.Connection[Any]

_CUSTOM_ID: Final = "lmx-{token}-{task}-{seq}"


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that this process looks after.

    `sent` tells whether it may have been sent, `inherited` that somebody else, or an earlier try,
    had begun to look after it. `since` is when it was made, on the provider's clock, and `rate`
    that clock's speed.
    """

    id: int
    pool_id: int
    model: str
    token: str
    state: str
    provider_id: str | None
    calls: int
    deliveries: int
    sent: bool
    inherited: bool
    since: float
    rate: float

    @property
    def name(self) -> str:
        """What the provider is told that it is called."""
        return f"lmx-{self.token}"

    def custom_id(self, lease: Lease) -> str:
        """A call's id within the batch: of this batch's, and of this attempt's alone."""
        return _CUSTOM_ID.format(token=self.token, task=lease.task_id, seq=lease.seq)

    def task_of(self, custom_id: str) -> int | None:
        """The task that a custom id is of; None if it is not of this batch."""
        head = f"{self.name}-"
        task = custom_id.removeprefix(head).partition("-")[0]
        return int(task) if custom_id.startswith(head) and task.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Member:
    """A call of a batch whose outcome is open; `waits`: its task waits for it, and is not ended."""

    lease: Lease
    waits: bool


def take(conn: Connection, queue: str, worker: int) -> Batch | None:
    """The batch of an account that is due; nobody else gets it until it is put back, or we die."""
    row = conn.execute(statement("take_batch"), {"queue": queue, "worker": worker}).fetchone()
    return None if row is None else Batch(*row)


def next_due(conn: Connection, queue: str) -> float | None:
    """In how many seconds the next batch of an account is due; None if there is none."""
    row = conn.execute(
        "SELECT extract(epoch FROM min(b.next_at) - clock_timestamp())::float8"
        " FROM lmx.batches b JOIN lmx.pools p ON p.id = b.pool_id"
        " WHERE b.next_at IS NOT NULL AND p.queue = %s",
        [queue],
    ).fetchone()
    return row[0] if row else None


def members(
    conn: Connection,
    batch: Batch,
    ids: Sequence[int] | None = None,
    *,
    inputs: bool = False,
    limit: int | None = None,
) -> list[Member]:
    """The calls of a batch whose outcome is open: those of these tasks, or the first `limit`."""
    ids = None if ids is None else list(ids)
    asked = {"batch": batch.id, "ids": ids, "inputs": inputs, "limit": limit}
    rows = conn.execute(statement("batch_members"), asked).fetchall()
    return [Member(Lease.from_row(row[:-1]), row[-1]) for row in rows]


def write(conn: Connection, batch: Batch, worker: int, changes: str, *args: Any) -> bool:
    """Change a batch's row, if this worker still looks after it; returns whether it does."""
    done = conn.execute(
        f"UPDATE lmx.batches SET {changes} WHERE id = %s AND worker_id = %s",  # noqa: S608
        [*args, batch.id, worker],
    )
    return done.rowcount == 1


def put_back(
    conn: Connection, batch: Batch, worker: int, seconds: float, *, tried: int = 0
) -> None:
    """Look after the batch again in so many seconds of the provider's clock.

    `tried` is how often that was begun in vain.
    """
    write(
        conn,
        batch,
        worker,
        "worker_id = NULL, deliveries = %s, polled_at = clock_timestamp(),"
        " next_at = clock_timestamp() + make_interval(secs => %s)",
        tried,
        seconds / batch.rate,
    )


def close(
    conn: Connection, batch: Batch, worker: int, state: str, error: str | None = None
) -> None:
    """The batch is over: `ended`, or `refused`."""
    over = "worker_id = NULL, next_at = NULL, ended_at = clock_timestamp()"
    write(conn, batch, worker, f"state = %s, error = %s, {over}", state, error)


class Superseded(Exception):  # noqa: N818 - it says what happened
    """This worker was taken for dead, and somebody else looks after the batch."""


def hold(conn: Connection, batch: Batch, worker: int) -> None:
    """Let nobody else take the batch until this transaction ends. Raises Superseded."""
    held = conn.execute(
        "SELECT FROM lmx.batches WHERE id = %s AND worker_id = %s FOR NO KEY UPDATE",
        [batch.id, worker],
    )
    if held.rowcount == 0:
        raise Superseded


def tell_pool(
    conn: Connection, batch: Batch, news: Sequence[tuple[str, Mapping[str, Any]]]
) -> None:
    """Write news of a batch's pool, as limits/folding reads them."""
    for kind, data in news:
        conn.execute(
            "INSERT INTO lmx.pool_news (pool_id, kind, data) VALUES (%s, %s, %s)",
            [batch.pool_id, kind, encode(data)],
        )
