"""Checks of what lmx keeps: the database and its schema, the models, the running processes."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from lmx.api.doctor.check import Check
from lmx.api.supervisor.state import read_state, running_pid
from lmx.workflows.config import Settings
from lmx.workflows.database import embedded, migrate
from lmx.workflows.database.connect import Database, resolve_database
from lmx.workflows.errors import LmxError
from lmx.workflows.models import Model, list_models
from lmx.workflows.units import format_bytes


def check_database(settings: Settings) -> Iterator[Check]:
    """Whether the database answers and its schema fits. Starts no server."""
    try:
        database = _running_database(settings)
    except LmxError as error:
        yield Check("database", "fail", error.message, error.hint)
        return
    if database is None:
        yield Check("database", "ok", "the embedded Postgres is stopped; it starts when needed")
        return
    try:
        schema = migrate.status(database)
        with database.connect() as connection:
            version = connection.info.server_version
    except LmxError as error:
        yield Check("database", "fail", error.message, error.hint)
        return
    server = f"Postgres {version // 10_000}.{version % 10_000} at {database.place}"
    yield Check("database", "ok", server)
    if schema.state == "current":
        yield Check("schema", "ok", f"revision {schema.current}")
    elif schema.state == "ahead":
        text = f"revision {schema.current} is newer than this lmx knows ({schema.head})"
        yield Check("schema", "fail", text, "upgrade lmx on this machine")
    else:
        text = f"revision {schema.current or 'none'}, and this lmx needs {schema.head}"
        yield Check("schema", "fail", text, "run: lmx db upgrade")


def check_models(settings: Settings, *, quick: bool = False) -> Iterator[Check]:
    """Whether each registered file is there and is still the one that was registered."""
    try:
        database = _running_database(settings)
        if database is None or migrate.status(database).state != "current":
            return
        with database.connect() as connection:
            models = list_models(connection)
    except LmxError:
        return
    if not models:
        advice = "add one: lmx models add FILE.gguf (lmx demo makes three)"
        yield Check("models", "warn", "no model is registered", advice)
    for model in models:
        yield _check_model(model, quick=quick)


def _check_model(model: Model, *, quick: bool) -> Check:
    subject, path = f"model {model.name}", Path(model.path)
    again = f"register it again: lmx models add --replace --name {model.name} FILE.gguf"
    try:
        size = path.stat().st_size
        if size != model.size_bytes:
            text = f"{path} has {size} bytes instead of {model.size_bytes}"
            return Check(subject, "fail", text, again)
        if not quick and _sha256(path) != model.sha256:
            return Check(subject, "fail", f"{path} has been changed: its hash differs", again)
    except OSError as error:
        return Check(subject, "fail", f"{path} cannot be read: {error.strerror}", again)
    state = "size intact" if quick else "hash intact"
    return Check(subject, "ok", f"{path}, {format_bytes(size)}, {state}")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_supervisor(settings: Settings) -> Iterator[Check]:
    """Whether lmx is up, with all of its processes."""
    pid = running_pid(settings.home)
    if pid is None:
        yield Check("processes", "warn", "lmx is not running: nothing works", "run: lmx up")
        return
    state = read_state(settings.home)
    children = state.children if state else ()
    broken = [child for child in children if child.state in ("failed", "restarting")]
    for child in broken:
        text = f"{child.name} is {child.state}: {child.last_line or 'it said nothing'}"
        yield Check("processes", "fail", text, f"see {settings.home / 'logs'}")
    if not broken:
        names = ", ".join(child.name for child in children) or "none yet"
        yield Check("processes", "ok", f"lmx is up (pid {pid}): {names}")


def _running_database(settings: Settings) -> Database | None:
    """The database without starting it; None when the embedded server is not running."""
    if settings.database_url is None and embedded.status(settings.home).state != "running":
        return None
    return resolve_database(settings)
