"""The model calls among the tasks of a run: which model and why, and what they wait for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from lmx.workflows.database.connect import Database
from lmx.workflows.names import GENERATE
from lmx.workflows.providers.batching import of_batches
from lmx.workflows.sql import statement


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a call had to wait for device memory; all three are bytes."""

    needs: int
    cap: int
    free: int


@dataclass(frozen=True, slots=True)
class Batched:
    """A call that goes in a batch: `id` is the batch's once there is one, from `since` on.

    Until then others are gathered to go with it; `until` is when that, or the batch, ends at the
    latest, if it is known.
    """

    id: int | None
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class CallView:
    """A model call. `shortage` stays known after the wait is over. `waits_for` says what a call in
    the cloud waits for now: a limit or a breaker of its pool, an allowance, a worker. `route` is
    the one that has chosen the model, `why` the reason of its latest decision."""

    model: str
    shortage: Shortage | None
    waits_for: str | None = None
    route: str | None = None
    why: str | None = None
    batch: Batched | None = None


_CALLS: Final = text(
    "WITH RECURSIVE tree AS ("  # noqa: S608 - the fragment is a constant
    "  SELECT id, root_id FROM lmx.tasks WHERE id = :top"
    "  UNION ALL SELECT c.id, c.root_id FROM tree JOIN lmx.tasks c ON c.parent_id = tree.id"
    "), short AS ("
    "  SELECT DISTINCT ON (task_id) task_id, data FROM lmx.events"
    "  WHERE run_id = (SELECT root_id FROM lmx.tasks WHERE id = :top)"
    "    AND kind = 'waiting_for_memory' ORDER BY task_id, id DESC"
    ") SELECT t.id, t.input ->> 'model', s.data,"
    "  CASE WHEN t.state = 'scheduled' THEN c.deferred"
    f"      WHEN t.state = 'ready' AND p.id IS NOT NULL AND NOT {statement('attended')}"
    "        THEN 'no worker serves ' || p.provider || '/' || p.account || ' now'"
    "       WHEN t.state = 'ready' AND p.next_at > clock_timestamp() THEN p.waits_for END,"
    "  d.route, d.why,"
    "  right(p.model_group, length(:suffix)) = :suffix AND t.finished_at IS NULL,"
    "  b.id, b.created_at, coalesce(b.expires_at, CASE WHEN b.id IS NULL THEN p.next_at END)"
    " FROM tree JOIN lmx.tasks t ON t.id = tree.id"
    " LEFT JOIN lmx.calls c ON c.task_id = t.id LEFT JOIN lmx.pools p ON p.id = c.pool_id"
    " LEFT JOIN short s ON s.task_id = t.id"
    " LEFT JOIN LATERAL (SELECT route, why FROM lmx.decisions WHERE task_id = t.id"
    "   ORDER BY id DESC LIMIT 1) d ON true"
    " LEFT JOIN lmx.batch_calls m ON m.task_id = t.id AND m.lease_seq = t.lease_seq"
    "  AND m.outcome IS NULL"
    " LEFT JOIN lmx.batches b ON b.id = m.batch_id"
    " WHERE t.name = :name AND t.input ->> 'model' IS NOT NULL"
)


def model_calls(database: Database, run_id: int) -> dict[int, CallView]:
    """Return the model calls of a run (or beneath any task) by task id."""
    with database.engine.connect() as connection:
        rows = connection.execute(
            _CALLS, {"top": run_id, "name": GENERATE, "suffix": of_batches("")}
        ).all()
    return {
        task_id: CallView(
            model,
            Shortage(data["needs"], data["cap"], data["free"]) if data else None,
            waits_for,
            route,
            why,
            Batched(*batch) if batched else None,
        )
        for task_id, model, data, waits_for, route, why, batched, *batch in rows
    }
