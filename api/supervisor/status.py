"""`lmx status`: what runs in a home, read without starting anything."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmx.api.supervisor.state import ChildState, logs_folder, read_state, running_pid
from lmx.workflows.config import Settings
from lmx.workflows.database import embedded as own_server
from lmx.workflows.database import migrate
from lmx.workflows.database.connect import Database
from lmx.workflows.database.conninfo import conninfo_from
from lmx.workflows.errors import LmxError

if TYPE_CHECKING:
    from lmx.workflows import views


@dataclass(frozen=True)
class ChildView:
    """A child of the supervisor; `state` is starting, running, restarting, failed or stopped."""

    name: str
    state: str
    pid: int | None
    uptime_s: float | None
    restarts: int
    last_line: str


@dataclass(frozen=True)
class DatabaseView:
    """The database: `state` is running, stopped, absent or unreachable.

    `schema` is current, behind, ahead or empty, None if it could not be read; `problem` says in
    one line why the database or its schema cannot be used.
    """

    embedded: bool
    place: str
    state: str
    schema: str | None
    problem: str | None


@dataclass(frozen=True)
class StatusView:
    """The supervisor of a home (`pid` is None if none runs), its children and the queues."""

    pid: int | None
    phase: str
    uptime_s: float | None
    api_url: str | None
    children: tuple[ChildView, ...]
    database: DatabaseView
    queues: "tuple[views.QueueView, ...]"
    workers: "tuple[views.WorkerView, ...]"
    logs: str


def status(settings: Settings) -> StatusView:
    """Describe what runs in the settings' home. Never raises because something is down."""
    pid = running_pid(settings.home)
    state = read_state(settings.home) if pid is not None else None
    if state is not None and state.pid != pid:
        state = None
    database, view = _database(settings)
    queues, workers = _read_queues(database) if view.schema == "current" and database else ((), ())
    now = time.time()
    return StatusView(
        pid=pid,
        phase=state.phase if state else ("stopped" if pid is None else "starting"),
        uptime_s=now - state.started_at if state else None,
        api_url=state.api_url if state else None,
        children=tuple(_child(child, now) for child in (state.children if state else ())),
        database=view,
        queues=queues,
        workers=workers,
        logs=str(logs_folder(settings.home)),
    )


def _child(child: ChildState, now: float) -> ChildView:
    uptime = None if child.started_at is None else max(0.0, now - child.started_at)
    return ChildView(child.name, child.state, child.pid, uptime, child.restarts, child.last_line)


def _database(settings: Settings) -> tuple[Database | None, DatabaseView]:
    """Find the database without starting it."""
    if settings.database_url is not None:
        database = Database(conninfo_from(settings.database_url))
        return database, _look_at(database, embedded=False)
    server = own_server.status(settings.home)
    if server.url is None:
        return None, DatabaseView(True, str(server.data), server.state, None, None)
    # Without its home: looking at a server that was just killed must not bring it back.
    database = Database(conninfo_from(server.url))
    return database, _look_at(database, embedded=True)


def _look_at(database: Database, *, embedded: bool) -> DatabaseView:
    try:
        schema = migrate.status(database)
        problem = None
        if schema.state != "current":
            problem = f"the schema is {schema.state}: {schema.current} instead of {schema.head}"
        return DatabaseView(embedded, database.place, "running", schema.state, problem)
    except LmxError as error:
        return DatabaseView(embedded, database.place, "unreachable", None, str(error))


def _read_queues(
    database: Database,
) -> "tuple[tuple[views.QueueView, ...], tuple[views.WorkerView, ...]]":
    from lmx.workflows import views

    try:
        return tuple(views.list_queues(database)), tuple(views.list_workers(database))
    except LmxError:
        return (), ()
