"""Sends signals to coordinators."""

import re
from typing import Any, Final

from lmx.workflows.control.transaction import Connection, lock, record, transact
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import Conflict, InvalidInput, NotFound, Refused
from lmx.workflows.sql import statement
from lmx.workflows.submission import encode_input

# As for the names of steps: '#' and ':' separate a name from what lmx adds to it.
_NAME: Final = re.compile(r"[^#:\x00]{1,200}")


def signal(database: Database, task_id: int, name: str, payload: Any = None) -> int:
    """Send `payload` to a coordinator under `name`; it is woken if it waits for that name.

    A signal that nobody waits for yet is kept for the next `ctx.wait_for(name)`. Returns its
    number among the signals of that name: 1, 2, ... Raises NotFound, Refused (not a coordinator),
    Conflict (it has finished), InvalidInput (name or payload).
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name[:200]!r} cannot name a signal",
            hint="use 1 to 200 characters without '#' or ':'",
        )
    text = encode_input(payload, "the payload")

    def work(conn: Connection) -> int:
        lock(conn, [task_id])
        row = conn.execute(
            "SELECT role::text, finished_at IS NOT NULL FROM lmx.tasks WHERE id = %s", [task_id]
        ).fetchone()
        if row is None:
            raise NotFound(f"there is no task {task_id}", hint="see them with: lmx runs")
        if row[0] != "coordinator":
            raise Refused(f"task {task_id} is no coordinator, so it cannot wait for a signal")
        if row[1]:
            raise Conflict(f"task {task_id} has finished, so it will never see the signal")
        args = {"id": task_id, "name": name, "payload": text}
        sent = conn.execute(statement("signal"), args).fetchone()
        assert sent is not None
        record(conn, task_id, "signalled", name=name, number=sent[0])
        return int(sent[0])

    return transact(database, work)
