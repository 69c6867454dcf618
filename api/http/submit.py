"""Submits work and tells whether it is new: the answer is given after the commit (R1)."""

from collections.abc import Callable

from fastapi import Response
from sqlalchemy import text
from starlette.concurrency import run_in_threadpool

from lmx.api.http.responses import Submitted
from lmx.api.http.services import Services
from lmx.workflows.database.callers import CallerConnection

Submit = Callable[[CallerConnection | None], int]

_MADE_HERE = text("SELECT xmin = pg_current_xact_id()::xid FROM lmx.tasks WHERE id = :id")


async def answer_submission(
    services: Services, key: str | None, submit: Submit, response: Response, collection: str
) -> Submitted:
    """Run `submit` in a thread; the answer says where in `collection` its task is found.

    201 for a new task, 200 for one that the key's first submission has made.
    """
    task_id, created = await run_in_threadpool(_submit_once, services, key, submit)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"{collection}/{task_id}"
    return Submitted(id=task_id, created=created)


def _submit_once(services: Services, key: str | None, submit: Submit) -> tuple[int, bool]:
    """Run `submit` on a connection; return the task's id and whether this call created it.

    Without a key every submission is new, and the client's own single statement does it.
    """
    if key is None:
        return submit(None), True
    with services.database.engine.begin() as connection:
        task_id = submit(connection)
        return task_id, bool(connection.execute(_MADE_HERE, {"id": task_id}).scalar())
