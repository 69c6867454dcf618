"""Single tasks and whole trees of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    any_,
    case,
    func,
    literal,
    null,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from lmx.workflows.budgets import BudgetView, budgets_of
from lmx.workflows.database.connect import Database
from lmx.workflows.database.tables import FINAL_STATES, pruned, tasks, workers
from lmx.workflows.errors import NotFound
from lmx.workflows.names import GENERATE
from lmx.workflows.partial import PARTIAL
from lmx.workflows.views.columns import without_partial
from lmx.workflows.views.routed import RoutedView, routed_calls

#: What a task of a paused run has as its time to run: it waits for the run to be resumed.
SHELVED: Final = text("'infinity'::timestamptz")


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task. Times are aware datetimes of the database's clock.

    `attempts` counts failed executions, `deliveries` the claims since the last progress. `worker`
    names the process that holds the lease. `shelved` tells that the task waits for its paused run.
    `output` and `partial` are None too when they were not asked for. `usage` is what a model call
    used, `routed` why a route has chosen its model. `partial` is what has come of an answer that is
    not whole (`Partial.end`): so far, while the call runs; at the last, when it has ended without a
    result.
    """

    id: int
    run_id: int
    parent_id: int | None
    role: str
    name: str
    key: str | None
    queue: str
    state: str
    priority: int
    attempts: int
    max_attempts: int
    deliveries: int
    nesting: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    run_at: datetime | None
    deadline: datetime | None
    time_limit_ms: int | None
    waiting: int
    waiting_for: str | None
    shelved: bool
    worker: str | None
    error: dict[str, Any] | None
    usage: dict[str, Any] | None
    progress: Any
    partial: dict[str, Any] | None
    output: Any
    budgets: tuple[BudgetView, ...] = field(default=())
    routed: RoutedView | None = None

    @property
    def finished(self) -> bool:
        """Whether the task has reached a final state."""
        return self.state in FINAL_STATES


def _columns(outputs: bool) -> list[ColumnElement[Any]]:
    c = tasks.c
    # Postgres' infinity is no datetime, so it never leaves the database.
    return [
        c.id,
        c.root_id.label("run_id"),
        c.parent_id,
        c.role,
        c.name,
        c.key,
        c.queue,
        c.state,
        c.priority,
        c.attempts,
        c.max_attempts,
        c.deliveries,
        c.nesting,
        c.created_at,
        c.started_at,
        c.finished_at,
        func.nullif(c.run_at, SHELVED).label("run_at"),
        c.deadline,
        c.time_limit_ms,
        c.waiting,
        c.waiting_for,
        func.coalesce(c.run_at == SHELVED, False).label("shelved"),
        workers.c.name.label("worker"),
        without_partial(c.error),
        c.usage,
        without_partial(c.progress),
        (_partial() if outputs else null().label("partial")),
        (c.output if outputs else null().label("output")),
    ]


def _partial() -> ColumnElement[Any]:
    """Of the attempt that runs, or else of the last one of whose answer anything had come."""
    c = tasks.c
    running = (c.state == "leased", c.progress[PARTIAL])
    return case(running, else_=c.error[PARTIAL]).label("partial")


def _views(connection: Connection, rows: Sequence[Row[Any]]) -> list[TaskView]:
    money = budgets_of(connection, [row.id for row in rows])
    routed = routed_calls(connection, [row.id for row in rows if row.name == GENERATE])
    return [TaskView(*[*row, money.get(row.id, ()), routed.get(row.id)]) for row in rows]


def fetch_tasks(
    connection: Connection, ids: Iterable[int], *, outputs: bool = True
) -> list[TaskView]:
    """Return the tasks with these ids that exist, by id."""
    query = (
        select(*_columns(outputs))
        .select_from(tasks.outerjoin(workers, workers.c.id == tasks.c.worker_id))
        .where(tasks.c.id == any_(literal(list(ids), ARRAY(BigInteger))))
        .order_by(tasks.c.id)
    )
    return _views(connection, connection.execute(query).all())


def not_there(connection: Connection, what: str) -> NotFound:
    """The error for "task 17" or "run 17" that is not there; tells whether any were pruned."""
    before = connection.execute(select(pruned.c.before).where(pruned.c.what == "runs")).scalar()
    gone = "" if before is None else f" (those that ended before {before:%Y-%m-%d} were pruned)"
    return NotFound(f"there is no {what}{gone}", hint="see them with: lmx runs")


def no_such_task(connection: Connection, task_id: int) -> NotFound:
    """The error for an id that names nothing."""
    return not_there(connection, f"task {task_id}")


def get_task(database: Database, task_id: int) -> TaskView:
    """Return one task. Raises NotFound."""
    with database.engine.connect() as connection:
        found = fetch_tasks(connection, [task_id])
        if not found:
            raise no_such_task(connection, task_id)
    return found[0]


def get_input(database: Database, task_id: int) -> Any:
    """Return what a task was given. Raises NotFound."""
    with database.engine.connect() as connection:
        row = connection.execute(select(tasks.c.input).where(tasks.c.id == task_id)).first()
        if row is None:
            raise no_such_task(connection, task_id)
    return row[0]


def tree_ids(top: int) -> CTE:
    """The ids of a task and all of its descendants, as a recursive table expression."""
    tree = select(tasks.c.id).where(tasks.c.id == top).cte("tree", recursive=True)
    return tree.union_all(select(tasks.c.id).where(tasks.c.parent_id == tree.c.id))


def get_tree(database: Database, run_id: int, *, outputs: bool = True) -> list[TaskView]:
    """Return a run's tasks (or those beneath any task), parents before their children, depth first.

    Siblings are in the order of their spawning. Raises NotFound.
    """
    tree = tree_ids(run_id)
    query = (
        select(*_columns(outputs))
        .select_from(
            tree.join(tasks, tasks.c.id == tree.c.id).outerjoin(
                workers, workers.c.id == tasks.c.worker_id
            )
        )
        .order_by(tasks.c.id)
    )
    with database.engine.connect() as connection:
        found = _views(connection, connection.execute(query).all())
        if not found:
            raise no_such_task(connection, run_id)
    return _depth_first(found, run_id)


def _depth_first(found: Sequence[TaskView], top: int) -> list[TaskView]:
    children: dict[int | None, list[TaskView]] = {}
    for task in found:
        children.setdefault(task.parent_id if task.id != top else None, []).append(task)
    ordered: list[TaskView] = []
    stack = children.get(None, [])
    while stack:
        task = stack.pop()
        ordered.append(task)
        stack.extend(reversed(children.get(task.id, ())))
    return ordered
