"""What happened in a run, in order: the audit log, and what the task rows tell by themselves.

Derived from rows: `submitted`, `started` (of the latest attempt), `checkpoint`, `finished`. From
the log: `retried`, `recovered`, `cancelled`, `paused`, `resumed`, `signalled`, `forked` and others.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Select,
    String,
    Text,
    cast,
    func,
    literal,
    null,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB

from lmx.workflows.database.connect import Database
from lmx.workflows.database.tables import checkpoints, events, tasks
from lmx.workflows.views.columns import without_partial
from lmx.workflows.views.tasks import no_such_task

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

# An event's time lies after the start of the transaction that writes it. So all events from before
# the start of the oldest open transaction have been committed, and a reader who goes no further
# than that misses none. A transaction left open for longer than 10 s is not waited for.
_HORIZON: Final = text(
    "SELECT CASE WHEN finished_at IS NULL THEN"
    "   least(clock_timestamp(), greatest(clock_timestamp() - interval '10 s',"
    "     (SELECT coalesce(min(xact_start), clock_timestamp()) FROM pg_stat_activity"
    "      WHERE datname = current_database() AND pid <> pg_backend_pid()"
    "        AND backend_type = 'client backend')))"
    " ELSE now() + interval '1 day' END"
    " FROM lmx.tasks WHERE id = :run"
)


@dataclass(frozen=True, slots=True)
class EventView:
    """One event. `cursor` (microseconds since 1970) is where `run_events` goes on after it."""

    cursor: int
    at: datetime
    task_id: int
    name: str
    key: str | None
    kind: str
    data: dict[str, Any] | None


def run_events(
    database: Database, run_id: int, after: int = 0, *, limit: int = 1000
) -> list[EventView]:
    """Return the events of a run (or beneath any task) after a cursor, oldest first.

    Following the cursor misses nothing and repeats nothing: events of the same instant come on
    one page (so a page may be longer than `limit`), and while the run goes on, events younger than
    the oldest open transaction are left for the next call. Raises NotFound.
    """
    since = _EPOCH + after * _MICROSECOND
    with database.engine.connect() as connection:
        horizon = _horizon(connection, run_id)
        every = _union(_tree(run_id))
        query = (
            select(every)
            .where(every.c.at > since, every.c.at < horizon)
            .order_by(every.c.at)
            .fetch(limit, with_ties=True)
        )
        rows = connection.execute(query).all()
    views = [
        EventView((row.at - _EPOCH) // _MICROSECOND, row.at, row.task_id, row.name, row.key,
                  row.kind, row.data)
        for row in rows
    ]  # fmt: skip
    return sorted(views, key=lambda event: (event.cursor, event.task_id))


def _horizon(connection: Connection, run_id: int) -> datetime:
    # Of its own, and earlier than the reading: what commits in between is then seen.
    found: datetime | None = connection.execute(_HORIZON, {"run": run_id}).scalar()
    if found is None:
        raise no_such_task(connection, run_id)
    return found


def _tree(top: int) -> CTE:
    """The tasks of a tree with all that their events tell, read once for all kinds of event."""
    c = tasks.c
    columns = (c.id, c.root_id, c.name, c.key, c.state, c.role, c.attempts, c.deliveries, c.error)
    times = (c.created_at, c.started_at, c.finished_at)
    tree = select(*columns, *times).where(c.id == top).cte("tree", recursive=True)
    return tree.union_all(select(*columns, *times).where(c.parent_id == tree.c.id))


def _union(tree: CTE) -> Any:
    t = tree.c
    started = func.jsonb_build_object("attempt", t.attempts + 1, "delivery", t.deliveries)
    finished = func.jsonb_strip_nulls(
        func.jsonb_build_object("state", cast(t.state, Text), "error", without_partial(t.error))
    )
    step = func.jsonb_build_object("name", checkpoints.c.name)
    of_steps = tree.join(checkpoints, (checkpoints.c.task_id == t.id) & (t.role == "coordinator"))
    of_log = tree.join(events, (events.c.run_id == t.root_id) & (events.c.task_id == t.id))
    return union_all(
        _part(tree, t.created_at, "submitted", null()),
        _part(tree, t.started_at, "started", started),
        _part(tree, t.finished_at, "finished", finished),
        _part(tree, checkpoints.c.at, "checkpoint", step).select_from(of_steps),
        _part(tree, events.c.at, events.c.kind, events.c.data).select_from(of_log),
    ).subquery("every")


def _part(
    tree: CTE, at: ColumnElement[Any], kind: str | ColumnElement[Any], data: Any
) -> Select[Any]:
    label = literal(kind, String) if isinstance(kind, str) else kind
    return select(
        at.label("at"),
        tree.c.id.label("task_id"),
        tree.c.name,
        tree.c.key,
        cast(label, Text).label("kind"),
        cast(data, JSONB).label("data"),
    ).where(at.is_not(None))
