"""Opens connections to the one database that holds everything, embedded or external."""

import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lmx.workflows.config import Settings
from lmx.workflows.database import embedded
from lmx.workflows.database.conninfo import conninfo_from, describe
from lmx.workflows.database.failures import connect_failure, is_starting
from lmx.workflows.errors import DatabaseUnavailable

# SQLAlchemy takes longer to import than a command like `lmx enqueue` takes to run without it.
if TYPE_CHECKING:
    from sqlalchemy import Engine

MINIMUM_VERSION = 15
_RECOVERY_POLL_S = 0.02

Connection = psycopg.Connection[tuple[Any, ...]]

# For the few statements of the queue, whose plans are known: they must never wait for a planner
# that was misled by statistics of a table that is empty one moment and full the next.
_HOT = {
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "idle_in_transaction_session_timeout": "5s",
}


@dataclass(frozen=True)
class Database:
    """Where the database is and how to reach it. Its repr never shows the password.

    `conninfo` is libpq's and holds the password; `place` names the server for messages; `home`
    is the home folder whose embedded server this is, None for any other server.
    """

    conninfo: str = field(repr=False)
    home: Path | None = None

    @property
    def embedded(self) -> bool:
        """Whether this is lmx's own server."""
        return self.home is not None

    @cached_property
    def place(self) -> str:
        return describe(self.conninfo)

    @cached_property
    def engine(self) -> "Engine":
        """SQLAlchemy's engine for everything that is not the queue's hot path."""
        return create_engine_from(self)

    def __repr__(self) -> str:
        return f"Database({self.place})"

    def connect(self, *, autocommit: bool = True, application_name: str = "lmx") -> Connection:
        """Open a connection; raise DatabaseUnavailable with one line if that fails."""
        return self._open(autocommit, application_name, {})

    def connect_hot(self, *, autocommit: bool = True, application_name: str = "lmx") -> Connection:
        """Open a connection for the queue's statements: prepared at once, with generic plans.

        A transaction left idle on it for 5 s is ended by the server, so that no stuck process
        can hold locks that the others need.
        """
        connection = self._open(autocommit, application_name, _HOT)
        connection.prepare_threshold = 0
        return connection

    def _open(self, autocommit: bool, application_name: str, session: dict[str, str]) -> Connection:
        extra: dict[str, Any] = {"application_name": application_name}
        if session:
            own = str(conninfo_to_dict(self.conninfo).get("options") or "")
            flags = [f"-c {name}={value}" for name, value in session.items()]
            extra["options"] = " ".join([own, *flags]).strip()
        conninfo = make_conninfo(self.conninfo, **extra)
        try:
            connection = self._dial(conninfo, autocommit)
        except psycopg.Error as error:
            raise connect_failure(error, self.place, embedded=self.embedded) from None
        _require_version(connection, self.place)
        return connection

    def _dial(self, conninfo: str, autocommit: bool) -> Connection:
        """Connect; bring lmx's own server back after a crash, for nobody else restarts it."""
        deadline = time.monotonic() + embedded.START_TIMEOUT_S
        revived = False
        while True:
            try:
                return psycopg.connect(conninfo, autocommit=autocommit)
            except psycopg.OperationalError as error:
                recovering = is_starting(error) and time.monotonic() < deadline
                if self.home is None or (revived and not recovering):
                    raise
                revived = embedded.revive(self.home)
                if not revived:
                    raise
            time.sleep(_RECOVERY_POLL_S)


def _require_version(connection: Connection, place: str) -> None:
    version = connection.info.server_version
    if version < MINIMUM_VERSION * 10_000:
        connection.close()
        shown = f"{version // 10_000}.{version % 10_000}"
        raise DatabaseUnavailable(
            f"Postgres at {place} is version {shown}; lmx needs {MINIMUM_VERSION} or later",
            hint="upgrade it, or unset LMX_DATABASE_URL to use the embedded server",
        )


def create_engine_from(database: Database, **options: Any) -> "Engine":
    """Return a SQLAlchemy engine whose connections are opened by `database.connect`.

    The engine's own URL stays empty, so nothing that prints it can show a password.
    """
    from sqlalchemy import create_engine

    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: database.connect(autocommit=False),
        **{"pool_pre_ping": True, **options},
    )


def resolve_database(settings: Settings) -> Database:
    """Return the database that the settings name; start the embedded server if they name none."""
    if settings.database_url is None:
        return Database(conninfo_from(embedded.ensure_running(settings.home)), home=settings.home)
    return Database(conninfo_from(settings.database_url))
