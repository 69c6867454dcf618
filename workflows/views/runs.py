"""Runs: root tasks, with what is known of the run as a whole."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, literal, select

from lmx.workflows.budgets import BudgetView, budgets_of
from lmx.workflows.database.connect import Database
from lmx.workflows.database.tables import FINAL_STATES, STATES, runs, tasks
from lmx.workflows.errors import InvalidInput
from lmx.workflows.views.columns import without_partial
from lmx.workflows.views.tasks import not_there

_ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class RunView:
    """One run. `state` is that of its root task; a stand-alone task is a run of one."""

    id: int
    name: str
    role: str
    queue: str
    state: str
    priority: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime | None
    error: dict[str, Any] | None
    usage: dict[str, Any] | None
    paused: bool
    weight: float
    forked_from: int | None
    budgets: tuple[BudgetView, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the run has reached a final state."""
        return self.state in FINAL_STATES


def _query() -> Select[Any]:
    c = tasks.c
    return (
        select(
            c.id,
            c.name,
            c.role,
            c.queue,
            c.state,
            c.priority,
            c.created_at,
            c.started_at,
            c.finished_at,
            c.deadline,
            without_partial(c.error),
            c.usage,
            func.coalesce(runs.c.paused, False),
            func.coalesce(runs.c.weight, 1.0),
            runs.c.forked_from,
        )
        .select_from(tasks.outerjoin(runs, runs.c.id == c.id))
        .where(c.parent_id.is_(None))
    )


def _read(connection: Connection, query: Select[Any]) -> list[RunView]:
    rows = connection.execute(query).all()
    money = budgets_of(connection, [row.id for row in rows])
    return [RunView(*[*row, money.get(row.id, ())]) for row in rows]


def get_run(database: Database, run_id: int) -> RunView:
    """Return one run. Raises NotFound for an id that is none, or that of a task within a run."""
    with database.engine.connect() as connection:
        found = _read(connection, _query().where(tasks.c.id == run_id))
        if not found:
            raise not_there(connection, f"run {run_id}")
    return found[0]


def list_runs(
    database: Database,
    *,
    state: str | None = None,
    name: str | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[RunView]:
    """Return the latest runs, newest first; `before` is the last id of the page before.

    `state` is a task state, or "active" for all that have not finished.
    """
    query = _query().order_by(tasks.c.id.desc()).limit(limit)
    if state == _ACTIVE:
        query = query.where(tasks.c.finished_at.is_(None))
    elif state in STATES:
        # In the statement, so that Postgres can see that the index of such runs serves.
        query = query.where(
            tasks.c.state == literal(state, tasks.c.state.type, literal_execute=True)
        )
        if state not in FINAL_STATES:
            query = query.where(tasks.c.finished_at.is_(None))
    elif state is not None:
        raise InvalidInput(
            f"{state!r} is no state of a run", hint=f"states are {_ACTIVE}, {', '.join(STATES)}"
        )
    if name is not None:
        query = query.where(tasks.c.name == name)
    if before is not None:
        query = query.where(tasks.c.id < before)
    with database.engine.connect() as connection:
        return _read(connection, query)
