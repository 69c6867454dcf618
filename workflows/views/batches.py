"""Batches of calls at providers, as people see them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from lmx.workflows.database.connect import Database


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch: `state` is sending, processing, cancelling, ended or refused.

    `calls` were sent in it; `waiting` still wait for it, `succeeded` have their answers, and
    `failed` were given back or did not succeed there; `late` had ended before their answers came.
    `next_at` is when somebody looks after it again, `expires_at` when the provider ends it.
    """

    id: int
    pool: str
    model: str
    state: str
    provider_id: str | None
    calls: int
    waiting: int
    succeeded: int
    failed: int
    late: int
    created_at: datetime
    polled_at: datetime | None
    next_at: datetime | None
    expires_at: datetime | None
    ended_at: datetime | None
    error: str | None


_LIST: Final = text(
    "SELECT b.id, p.name, b.model, b.state, b.provider_id, b.calls,"
    " count(*) FILTER (WHERE m.task_id IS NOT NULL AND m.outcome IS NULL),"
    " count(*) FILTER (WHERE m.outcome = 'succeeded'),"
    " count(*) FILTER (WHERE m.outcome NOT IN ('succeeded', 'late')),"
    " count(*) FILTER (WHERE m.outcome = 'late'),"
    " b.created_at, b.polled_at, b.next_at, b.expires_at, b.ended_at, b.error"
    " FROM (SELECT * FROM lmx.batches WHERE next_at IS NOT NULL OR :ended"
    "       ORDER BY id DESC LIMIT :limit) b"
    " JOIN lmx.pools p ON p.id = b.pool_id"
    " LEFT JOIN lmx.batch_calls m ON m.batch_id = b.id"
    " GROUP BY b.id, p.name, b.model, b.state, b.provider_id, b.calls, b.created_at, b.polled_at,"
    " b.next_at, b.expires_at, b.ended_at, b.error ORDER BY b.id DESC"
)


def list_batches(database: Database, *, ended: bool = False, limit: int = 100) -> list[BatchView]:
    """Return the latest batches, those that have ended only if asked for."""
    with database.engine.connect() as connection:
        rows = connection.execute(_LIST, {"ended": ended, "limit": limit})
        return [BatchView(*row) for row in rows]
