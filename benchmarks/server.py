"""The Postgres server of a benchmark run: private, durable settings, removed afterwards.

One fresh database per measurement. Counters are read from another database, so that reading them
does not count.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
_GONE_S = 20.0


@dataclass(frozen=True)
class Counters:
    """What the server has counted for one database: commits, and transactions that wrote."""

    commits: int
    writes: int

    def __sub__(self, earlier: Counters) -> Counters:
        return Counters(self.commits - earlier.commits, self.writes - earlier.writes)


class Server:
    """An embedded Postgres for one benchmark run (a context manager)."""

    def __enter__(self) -> Server:
        from lmx.workflows.database import embedded

        self._home = Path(tempfile.mkdtemp(prefix="lmx-bench-"))
        self._conninfo = conninfo_to_dict(embedded.ensure_running(self._home))
        self._admin = psycopg.connect(self._url("postgres"), autocommit=True)
        for name in _DURABLE:
            if self._show(name) != "on":
                raise RuntimeError(f"the benchmark's server must be durable, but {name} is off")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        from lmx.workflows.database import embedded

        self._admin.close()
        embedded.stop(self._home)
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def socket_directory(self) -> Path:
        """Where the server's socket lies."""
        return Path(str(self._conninfo["host"]))

    def version(self) -> str:
        """The server's version number, for the report."""
        return self._show("server_version")

    def create(self, name: str) -> str:
        """Make an empty database after a checkpoint; its connection URL."""
        self._admin.execute("CHECKPOINT")
        self._admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self._url(name)

    def drop(self, name: str) -> None:
        """Remove a database and whoever is still connected."""
        self._admin.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """No autovacuum inside the block: its transactions would be counted too."""
        self._set_autovacuum("off")
        try:
            yield
        finally:
            self._set_autovacuum("on")

    def _set_autovacuum(self, value: str) -> None:
        self._admin.execute(f"ALTER SYSTEM SET autovacuum = {value}".encode())
        self._admin.execute("SELECT pg_reload_conf()")

    def wait_until_left(self, name: str) -> bool:
        """Wait until no client is connected: only then are its counters complete."""
        deadline = time.monotonic() + _GONE_S
        while time.monotonic() < deadline:
            row = self._admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (name,)
            ).fetchone()
            if row == (0,):
                return True
            time.sleep(0.02)
        return False

    def counters(self, name: str) -> Counters:
        """The counters of a database whose clients have left.

        `writes` is server-wide (transaction ids given out), which is the same thing here: one
        database is used at a time.
        """
        row = self._admin.execute(
            "SELECT xact_commit, (pg_snapshot_xmax(pg_current_snapshot()))::text::bigint"
            " FROM pg_stat_database WHERE datname = %s",
            (name,),
        ).fetchone()
        assert row is not None
        return Counters(int(row[0]), int(row[1]))

    def _show(self, setting: str) -> str:
        row = self._admin.execute(f"SHOW {setting}".encode()).fetchone()
        assert row is not None
        return str(row[0])

    def _url(self, database: str) -> str:
        user = self._conninfo.get("user", "postgres")
        return f"postgresql://{user}@/{database}?host={self.socket_directory}"
