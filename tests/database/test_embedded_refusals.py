"""Where the embedded server cannot start, one line says why and what to do."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from lmx.workflows.database import embedded
from lmx.workflows.database.failures import failure_of
from lmx.workflows.errors import DatabaseUnavailable, DiskFull, LmxError
from tests.support.eventually import eventually
from tests.support.postgres import PostgresServer


def refusal(home: Path) -> LmxError:
    with pytest.raises(LmxError) as caught:
        embedded.ensure_running(home)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 5
    return caught.value


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    """Mount a file system in memory, or skip the test where that is not allowed."""
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root on Linux")
    try:
        yield
    finally:
        embedded.stop(folder)
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_home_below_a_file(home: Path) -> None:
    (home / "file").write_text("")
    error = refusal(home / "file" / "lmx")
    assert isinstance(error, DatabaseUnavailable)
    assert "Not a directory" in str(error)
    assert "set LMX_HOME" in str(error)


def test_a_home_on_a_read_only_disk(home: Path) -> None:
    with small_disk(home, "size=1m,ro"):
        assert "Read-only file system; set LMX_HOME" in str(refusal(home))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_may_not_be_written(home: Path) -> None:
    home.chmod(0o500)
    assert "Permission denied; set LMX_HOME" in str(refusal(home))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")
def test_a_home_that_the_servers_user_may_not_reach(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    error = str(refusal(closed / "lmx"))
    assert "may not enter" in error
    assert "/var/lib/lmx" in error


@pytest.mark.parametrize("size", ["4m", "24m", "44m"])
def test_a_full_disk_at_the_first_start_leaves_nothing_half_made(home: Path, size: str) -> None:
    with small_disk(home, f"size={size},mode=755"):
        error = refusal(home)
        assert isinstance(error, DiskFull)
        assert "free some space" in str(error)
        left = {path.name for path in (home / "postgres").iterdir()}
        assert not any(name.startswith("init-") for name in left)
        subprocess.run(["mount", "-o", "remount,size=400m", str(home)], check=True)
        assert embedded.ensure_running(home)


def test_a_disk_that_fills_up_later_fails_statements_and_heals(pg_server: PostgresServer) -> None:
    with small_disk(pg_server.home, "size=160m,mode=755"):
        database = pg_server.database()
        with database.connect() as connection:
            connection.execute("CREATE TABLE filler (content text STORAGE EXTERNAL)")
            with pytest.raises(psycopg.Error) as full:
                for _ in range(100):
                    connection.execute(
                        "INSERT INTO filler SELECT repeat(md5(n::text), 200)"
                        " FROM generate_series(1, 1000) n"
                    )
        error = failure_of(full.value, database.place)
        assert isinstance(error, DiskFull | DatabaseUnavailable)
        assert "\n" not in str(error)
        subprocess.run(["mount", "-o", "remount,size=600m", str(pg_server.home)], check=True)

        def can_write_again() -> bool:
            # A full WAL disk crashes the server, and a connection may still see it going down.
            with contextlib.suppress(psycopg.OperationalError, LmxError):
                with pg_server.database().connect() as connection:
                    connection.execute("INSERT INTO filler VALUES ('there is room again')")
                return True
            return False

        eventually(can_write_again, "the server writes again")


def test_data_of_another_major_version(pg_server: PostgresServer) -> None:
    pg_server.start()
    pg_server.stop()
    (pg_server.data / "PG_VERSION").write_text("16\n")
    error = str(refusal(pg_server.home))
    assert "made by Postgres 16" in error
    assert "docs/database.md" in error


def test_a_folder_that_is_no_database(home: Path) -> None:
    (home / "postgres" / "data").mkdir(parents=True)
    assert "is not a Postgres data folder; move it away" in str(refusal(home))


def test_a_mistake_in_the_users_own_configuration(pg_server: PostgresServer) -> None:
    pg_server.start()
    pg_server.stop()
    (pg_server.data / "local.conf").write_text("no_such_setting = 1\n")
    (pg_server.data / "local.conf").chmod(0o644)
    error = str(refusal(pg_server.home))
    assert "does not start" in error
    assert "no_such_setting" in error
    assert str(pg_server.home) in error
