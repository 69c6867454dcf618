"""Submits work and tells whether it is new: the answer is given after the commit (R1)."""

from collections.abc import Callable

from sqlalchemy import text

from lmx.api.http.services import Services
from lmx.workflows.database.callers import CallerConnection

Submit = Callable[[CallerConnection | None], int]

_MADE_HERE = text("SELECT xmin = pg_current_xact_id()::xid FROM lmx.tasks WHERE id = :id")


def submit_once(services: Services, key: str | None, submit: Submit) -> tuple[int, bool]:
    """Run `submit` on a connection; return the task's id and whether this call created it.

    Without a key every submission is new, and the client's own single statement does it.
    """
    if key is None:
        return submit(None), True
    with services.database.engine.begin() as connection:
        task_id = submit(connection)
        return task_id, bool(connection.execute(_MADE_HERE, {"id": task_id}).scalar())
