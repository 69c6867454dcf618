"""Runs one piece of control work in one transaction, again if it met a deadlock."""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError

from lmx.workflows.database.connect import Database
from lmx.workflows.database.failures import failure_of
from lmx.workflows.errors import BudgetExceeded, NotFound
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement

T = TypeVar("T")
Connection = psycopg.Connection[Any]

_ATTEMPTS: Final = 5
_TRANSIENT: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
_OVERSPENT: Final = "budgets_never_overspent"


def transact(database: Database, work: Callable[[Connection], T]) -> T:
    """Return what `work` returns once its transaction has committed.

    `work` may be called again after a deadlock. Raises DatabaseUnavailable, or BudgetExceeded when
    a budget's rule refused the change.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with database.engine.begin() as connection:
                driver = connection.connection.driver_connection
                assert isinstance(driver, psycopg.Connection)
                # As on the workers' connections: never a plan that reads the whole history.
                driver.execute("SET LOCAL enable_seqscan = off")
                return work(driver)
        except (psycopg.Error, DBAPIError) as error:
            cause = getattr(error, "orig", None) or error
            if isinstance(cause, _TRANSIENT) and attempt < _ATTEMPTS:
                continue
            if _is_overspent(cause):
                raise BudgetExceeded(
                    "the budget above has not enough left for what this would take out of it again",
                    hint="submit the work anew with a larger budget",
                ) from None
            raise failure_of(cause, database.place) or error from error
    raise AssertionError("unreachable")


def _is_overspent(error: BaseException) -> bool:
    return (
        isinstance(error, psycopg.errors.CheckViolation)
        and error.diag.constraint_name == _OVERSPENT
    )


def lock(conn: Connection, ids: Iterable[int]) -> None:
    """Lock task rows, in ascending order of their ids."""
    conn.execute(statement("lock"), {"ids": sorted(set(ids))})


def record(conn: Connection, task_id: int, kind: str, **data: Any) -> None:
    """Append to the audit log."""
    rows = encode([{"id": task_id, "kind": kind, "data": data}])
    conn.execute(statement("events"), {"ops": rows})


def root_of(conn: Connection, task_id: int) -> int:
    """Return the run that a task belongs to. Raises NotFound."""
    row = conn.execute("SELECT root_id FROM lmx.tasks WHERE id = %s", [task_id]).fetchone()
    if row is None:
        raise NotFound(f"there is no task {task_id}", hint="see them with: lmx runs")
    return int(row[0])
