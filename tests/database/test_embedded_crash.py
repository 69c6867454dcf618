"""The embedded server comes back after kill -9, a reboot, and whatever they leave behind."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmx.workflows.database import embedded
from tests.support.postgres import PostgresServer


def put_row(server: PostgresServer) -> None:
    with server.database().connect() as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")


def row_is_there(server: PostgresServer) -> bool:
    with server.database().connect() as connection:
        return connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def name_server(lock: Path, pid: int) -> None:
    """Let a lock file of Postgres name another process."""
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(pid), *lines[1:]]) + "\n")


def as_owner_of(folder: Path) -> dict[str, Any]:
    """Options for a process of the server's own user: Postgres heeds no other user's pid."""
    options: dict[str, Any] = {"cwd": "/"}
    if os.geteuid() == 0:
        options["user"] = folder.stat().st_uid
    return options


@pytest.mark.parametrize("crash", [PostgresServer.kill, PostgresServer.stop_immediately])
def test_after_a_crash_the_next_use_recovers_what_was_committed(
    pg_server: PostgresServer, crash: Callable[[PostgresServer], None]
) -> None:
    put_row(pg_server)
    crash(pg_server)
    assert embedded.status(pg_server.home).state == "stopped"
    assert row_is_there(pg_server)


def test_a_start_waits_for_backends_that_outlive_a_killed_server(pg_server: PostgresServer) -> None:
    put_row(pg_server)
    busy = pg_server.database().connect()
    # A frozen backend cannot notice that its server is gone, and keeps the shared memory.
    os.kill(busy.info.backend_pid, signal.SIGSTOP)
    pg_server.kill(wait_for_backends=False)
    thaw = threading.Timer(0.3, os.kill, (busy.info.backend_pid, signal.SIGCONT))
    thaw.start()
    assert row_is_there(pg_server)
    thaw.join()
    busy.close()


def test_a_pid_that_another_process_has_got_since_is_not_taken_for_the_server(
    pg_server: PostgresServer,
) -> None:
    put_row(pg_server)
    pg_server.kill()
    pid_file = pg_server.data / "postmaster.pid"
    socket_lock = pg_server.home / "postgres" / "run" / ".s.PGSQL.5432.lock"
    stranger = subprocess.Popen(["cat"], stdin=subprocess.PIPE, **as_owner_of(pg_server.data))
    try:
        for path in (pid_file, socket_lock):
            name_server(path, stranger.pid)
        assert embedded.status(pg_server.home).state == "stopped"
        assert not embedded.stop(pg_server.home)
        assert row_is_there(pg_server)
        assert stranger.poll() is None
    finally:
        stranger.communicate()


@pytest.mark.parametrize("content", ["", "\n", "garbage\n", "12\n"])
def test_a_damaged_pid_file_does_not_keep_the_server_down(
    pg_server: PostgresServer, content: str
) -> None:
    put_row(pg_server)
    pg_server.kill()
    (pg_server.data / "postmaster.pid").write_text(content)
    assert row_is_there(pg_server)


@pytest.mark.parametrize("content", [None, "", "{reaped}\n"])
def test_a_killed_server_that_nobody_has_reaped_does_not_keep_the_next_one_down(
    pg_server: PostgresServer, content: str | None
) -> None:
    """In a container whose first process reaps no children it stays a zombie for ever."""
    put_row(pg_server)
    pg_server.kill()
    socket_lock = pg_server.home / "postgres" / "run" / ".s.PGSQL.5432.lock"
    reaped = subprocess.Popen(["true"], **as_owner_of(pg_server.data))
    reaped.wait()
    zombie = subprocess.Popen(["true"], **as_owner_of(pg_server.data))
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    try:
        name_server(socket_lock, zombie.pid)
        if content is None:
            name_server(pg_server.data / "postmaster.pid", zombie.pid)
        else:
            (pg_server.data / "postmaster.pid").write_text(content.format(reaped=reaped.pid))
        assert row_is_there(pg_server)
    finally:
        zombie.wait()


def test_a_creation_cut_short_is_begun_anew(home: Path) -> None:
    unfinished = home / "postgres" / "init-cut"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    embedded.ensure_running(home)
    assert not unfinished.exists()
