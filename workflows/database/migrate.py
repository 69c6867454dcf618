"""Brings the schema to the version that this program needs, and tells when it is not there.

Revisions are numbered files in the package `lmx.migrations`; their order is their number. All
revisions of one call commit together, so a failure leaves the schema as it was.
"""

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psycopg

from lmx.workflows.database.connect import Connection, Database, create_engine_from
from lmx.workflows.database.failures import failure_of
from lmx.workflows.errors import InvalidInput, SchemaMismatch

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_SCHEMA = "lmx"
VERSION_TABLE = "alembic_version"

# One migration at a time per database; an arbitrary number that nothing else uses ("lmx\0db").
_LOCK_KEY = 0x6C6D_7800_6462
_REVISION_FILE = re.compile(r"(\d{4})_\w+\.py")

State = Literal["current", "behind", "ahead", "empty"]


@dataclass(frozen=True)
class SchemaStatus:
    """The schema's revision in the database, the one this program needs, and how they compare."""

    current: str | None
    head: str
    state: State


def status(database: Database) -> SchemaStatus:
    """Compare the schema in the database with the one that this program needs."""
    with database.connect(application_name="lmx schema") as connection:
        return _compare(_revision_in(connection))


def upgrade(database: Database, revision: str = "head") -> SchemaStatus:
    """Apply all revisions up to `revision`; concurrent calls wait for each other.

    Raises SchemaMismatch if the schema is newer than this program or is not lmx's, InvalidInput
    for an unknown revision.
    """
    target = _known(revision, {"head": _revisions()[-1]})

    def apply(config: "Config", before: SchemaStatus) -> None:
        from alembic import command

        if before.state == "ahead":
            raise _mismatch(database, before)
        command.upgrade(config, target)

    return _migrate(database, apply)


def downgrade(database: Database, revision: str) -> SchemaStatus:
    """Undo all revisions after `revision`; "base" undoes all and removes the schema itself.

    What the undone revisions stored is lost.
    """
    target = _known(revision, {"base": "base"})

    def undo(config: "Config", before: SchemaStatus) -> None:
        from alembic import command

        if before.state == "ahead":
            raise _mismatch(database, before)
        if before.current is not None and (target == "base" or target < before.current):
            command.downgrade(config, target)

    return _migrate(database, undo)


def require_current(database: Database) -> None:
    """Raise SchemaMismatch, saying what to do, unless the schema is the one this program needs."""
    found = status(database)
    if found.state != "current":
        raise _mismatch(database, found)


def prepare(database: Database) -> None:
    """Make the database ready to use: lmx's own server is upgraded, any other only checked."""
    found = status(database)
    if found.state == "current":
        return
    if not database.embedded or found.state == "ahead":
        raise _mismatch(database, found)
    upgrade(database)


@cache
def _revisions() -> tuple[str, ...]:
    """All revisions in order, from the file names: reading them needs no Alembic and no import."""
    names = (path.name for path in (_script_location() / "versions").iterdir())
    return tuple(sorted(match[1] for match in map(_REVISION_FILE.fullmatch, names) if match))


def _script_location() -> Path:
    spec = importlib.util.find_spec("lmx.migrations")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package lmx.migrations is not installed")
    return Path(spec.submodule_search_locations[0])


def _compare(current: str | None) -> SchemaStatus:
    head = _revisions()[-1]
    if current is None:
        return SchemaStatus(None, head, "empty")
    if current == head:
        return SchemaStatus(current, head, "current")
    # A revision that this program has never heard of was made by a later one.
    return SchemaStatus(current, head, "behind" if current in _revisions() else "ahead")


def _revision_in(connection: Connection) -> str | None:
    table = f"{VERSION_SCHEMA}.{VERSION_TABLE}"
    found = connection.execute("SELECT to_regclass(%s)", [table]).fetchone()
    if found is None or found[0] is None:
        return None
    row = connection.execute(f"SELECT version_num FROM {table}").fetchone()  # noqa: S608
    return str(row[0]) if row else None


def _known(revision: str, words: dict[str, str]) -> str:
    if revision in words:
        return words[revision]
    if revision in _revisions():
        return revision
    raise InvalidInput(
        f"there is no schema revision {revision!r}",
        hint=f"choose one of {', '.join((*words, *_revisions()))}",
    )


def _migrate(database: Database, change: "Callable[[Config, SchemaStatus], None]") -> SchemaStatus:
    from alembic.config import Config
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    try:
        # No pool: a connection that stayed open would keep the database from being copied.
        with create_engine_from(database, poolclass=NullPool).begin() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            driver.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_KEY])
            before = _compare(_revision_in(driver))
            if before.state == "empty":
                _create_schema(database, driver)
            config = Config()
            # Alembic's option values are interpolated, so a % in a path is doubled.
            config.set_main_option("script_location", str(_script_location()).replace("%", "%%"))
            config.attributes["connection"] = connection
            change(config, before)
            after = _compare(_revision_in(driver))
            if after.state == "empty":
                _drop_schema(driver)
            return after
    except (DBAPIError, psycopg.Error) as error:
        if known := failure_of(error, database.place):
            raise known from None
        raise


def _create_schema(database: Database, connection: Connection) -> None:
    foreign = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s)"
        " AND relkind IN ('r', 'v', 'S', 'p') AND relname <> %s ORDER BY relname LIMIT 1",
        [VERSION_SCHEMA, VERSION_TABLE],
    ).fetchone()
    if foreign is not None:
        raise SchemaMismatch(
            f"the schema {VERSION_SCHEMA} at {database.place} is not lmx's own: it holds"
            f" {foreign[0]} but no revision",
            hint="use another database, or rename that schema",
        )
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {VERSION_SCHEMA}")


def _drop_schema(connection: Connection) -> None:
    """Remove what is left after the last revision: the schema with Alembic's empty table."""
    connection.execute(f"DROP TABLE IF EXISTS {VERSION_SCHEMA}.{VERSION_TABLE}")
    connection.execute(f"DROP SCHEMA IF EXISTS {VERSION_SCHEMA}")


def _mismatch(database: Database, found: SchemaStatus) -> SchemaMismatch:
    if found.state == "empty":
        return SchemaMismatch(
            f"the database at {database.place} has no lmx schema yet", hint="run: lmx db upgrade"
        )
    if found.state == "behind":
        return SchemaMismatch(
            f"the schema at {database.place} is at revision {found.current}, and this lmx needs"
            f" {found.head}",
            hint="run: lmx db upgrade",
        )
    return SchemaMismatch(
        f"the schema at {database.place} is at revision {found.current}, which is newer than this"
        f" lmx knows ({found.head})",
        hint="upgrade lmx on this machine",
    )
