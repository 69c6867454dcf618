"""Batches of calls at providers, as people see them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from lmx.workflows.database.connect import Database
from lmx.workflows.errors import InvalidInput

_ACTIVE: Final = "active"
_STATES: Final = ("sending", "processing", "cancelling", "ended", "refused")


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


_LIST: Final = """
SELECT b.id, b.pool, b.model, b.state, b.provider_id, b.calls,
       count(*) FILTER (WHERE m.task_id IS NOT NULL AND m.outcome IS NULL),
       count(*) FILTER (WHERE m.outcome = 'succeeded'),
       count(*) FILTER (WHERE m.outcome NOT IN ('succeeded', 'late')),
       count(*) FILTER (WHERE m.outcome = 'late'),
       b.created_at, b.polled_at, b.next_at, b.expires_at, b.ended_at, b.error
FROM (SELECT b.*, p.name AS pool FROM lmx.batches b JOIN lmx.pools p ON p.id = b.pool_id
      WHERE {wanted} ORDER BY b.id DESC LIMIT :limit) b
LEFT JOIN lmx.batch_calls m ON m.batch_id = b.id
GROUP BY b.id, b.pool, b.model, b.state, b.provider_id, b.calls, b.created_at, b.polled_at,
         b.next_at, b.expires_at, b.ended_at, b.error
ORDER BY b.id DESC
"""


def list_batches(
    database: Database,
    *,
    state: str | None = None,
    pool: str | None = None,
    model: str | None = None,
    limit: int = 100,
    before: int | None = None,
) -> list[BatchView]:
    """Return the latest batches, newest first; `before` is the last id of the page before.

    `state` is a batch's, or "active" for all that have not ended. Raises InvalidInput.
    """
    given = {"pool": pool, "model": model, "before": before}
    terms = {"pool": "p.name = :pool", "model": "b.model = :model", "before": "b.id < :before"}
    wanted = [terms[name] for name, value in given.items() if value is not None]
    if state == _ACTIVE:
        wanted.append("b.next_at IS NOT NULL")
    elif state in _STATES:
        wanted.append("b.state = :state")
        given["state"] = state
    elif state is not None:
        raise InvalidInput(
            f"{state!r} is no state of a batch", hint=f"states are {', '.join((_ACTIVE, *_STATES))}"
        )
    query = text(_LIST.format(wanted=" AND ".join(wanted) or "true"))
    values = {name: value for name, value in given.items() if value is not None}
    with database.engine.connect() as connection:
        return [BatchView(*row) for row in connection.execute(query, {**values, "limit": limit})]
