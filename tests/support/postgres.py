"""Postgres servers for tests: one shared by the whole run, and private ones to crash."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from lmx.workflows.database import embedded, migrate
from lmx.workflows.database.connect import Database
from lmx.workflows.database.conninfo import conninfo_from
from lmx.workflows.database.embedded.postmaster import any_process_of, is_server_of, read_postmaster

TEMPLATE = "lmx_template"
_PREFIX = "lmx-test-"
_TEMPLATE_LOCK = 4711
_MEMORY = Path("/dev/shm")

# A test server need not survive the machine, only the test; nor should vacuum disturb timings.
_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "400",
    "shared_buffers": "128MB",
    "max_wal_size": "256MB",
}


class PostgresServer:
    """An embedded server in a home of its own, which a test may stop, crash and start again."""

    def __init__(self, home: Path, settings: dict[str, str] | None = None) -> None:
        self.home = home
        self.settings = {**_FAST, **(settings or {})}

    @property
    def data(self) -> Path:
        return self.home / "postgres" / "data"

    def start(self) -> str:
        """Start the server, or join it if it runs; return its URL."""
        return embedded.ensure_running(self.home, self.settings)

    def stop(self) -> None:
        """Stop in good order."""
        embedded.stop(self.home)

    def stop_immediately(self) -> None:
        """Stop as `pg_ctl stop -m immediate` does: no checkpoint, recovery at the next start."""
        self._end(signal.SIGQUIT, wait_for_backends=True)

    def kill(self, *, wait_for_backends: bool = True) -> None:
        """Kill the postmaster with SIGKILL; its orphaned backends notice and leave."""
        self._end(signal.SIGKILL, wait_for_backends)

    def _end(self, how: signal.Signals, wait_for_backends: bool) -> None:
        server = read_postmaster(self.data)
        assert server is not None, "the server is not running"
        os.kill(server.pid, how)
        while is_server_of(server.pid, self.data):
            time.sleep(0.005)
        while wait_for_backends and any_process_of(self.data):
            time.sleep(0.005)

    def database(self, name: str = "lmx") -> Database:
        """Start the server if need be and return its database `name`, as it is."""
        url = self.start().replace("@/lmx?", f"@/{name}?")
        return Database(conninfo_from(url), home=self.home)

    @contextmanager
    def fresh_database(self) -> Iterator[Database]:
        """Give a new, migrated database, copied from the template; drop it afterwards."""
        self._ensure_template()
        name = f"test_{uuid.uuid4().hex[:16]}"
        with self._admin() as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                    sql.Identifier(name), sql.Identifier(TEMPLATE)
                )
            )
        database = self.database(name)
        try:
            yield database
        finally:
            if "engine" in vars(database):
                database.engine.dispose()
            with contextlib.suppress(Exception), self._admin() as admin:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _ensure_template(self) -> None:
        """Create the migrated template once, whichever test process comes first."""
        with self._admin() as admin:
            if self._has(admin, TEMPLATE):
                return
            admin.execute("SELECT pg_advisory_lock(%s)", [_TEMPLATE_LOCK])
            if self._has(admin, TEMPLATE):
                return
            draft = f"{TEMPLATE}_draft"
            admin.execute(f"DROP DATABASE IF EXISTS {draft} WITH (FORCE)")
            admin.execute(f"CREATE DATABASE {draft}")
            migrate.upgrade(self.database(draft))
            admin.execute(f"ALTER DATABASE {draft} RENAME TO {TEMPLATE}")

    @staticmethod
    def _has(admin: psycopg.Connection[tuple[object, ...]], name: str) -> bool:
        query = "SELECT 1 FROM pg_database WHERE datname = %s"
        return admin.execute(query, [name]).fetchone() is not None

    def _admin(self) -> psycopg.Connection[tuple[object, ...]]:
        return self.database("postgres").connect(application_name="lmx tests")


def prepared_server(home: Path, prepared: Path) -> PostgresServer:
    """Return a stopped server in `home` with data copied from `prepared`, which is made once."""
    prepared.mkdir(exist_ok=True)
    with (prepared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (prepared / "ready").exists():
            PostgresServer(prepared).start()
            embedded.stop(prepared)
            (prepared / "ready").touch()
    subprocess.run(["cp", "-a", str(prepared / "postgres"), str(home)], check=True)
    return PostgresServer(home)


def make_home(parent: Path | None = None) -> Path:
    """Create an empty folder for LMX_HOME that the server's user can reach when run by root.

    pytest's own temporary folders are closed to everybody but their owner.
    """
    home = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
    home.chmod(0o755)
    return home


def scratch_folder() -> Path:
    """Return a folder in memory if there is one with room: databases are copied there in 8 ms."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 4 << 30:
        return _MEMORY
    return Path(tempfile.gettempdir())


def remove_home(home: Path) -> None:
    """Stop the home's server, if one runs, and delete all of it."""
    with contextlib.suppress(Exception):
        embedded.stop(home)
    shutil.rmtree(home, ignore_errors=True)


def remove_abandoned_homes() -> None:
    """Clean up after test runs that were killed before they could do so themselves."""
    folders = {Path(tempfile.gettempdir()), scratch_folder()}
    for home in [home for folder in folders for home in folder.glob(f"{_PREFIX}*")]:
        owner = home.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and home.stat().st_uid == os.geteuid() and not _exists(int(owner)):
            remove_home(home)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
