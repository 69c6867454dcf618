"""A database that cannot be reached is one line: what, where (without the password), what to do."""

import socket
from pathlib import Path

import psycopg
import pytest

from lmx.workflows.config import Settings
from lmx.workflows.database.connect import Database, resolve_database
from lmx.workflows.database.failures import failure_of
from lmx.workflows.errors import DatabaseUnavailable, DiskFull
from tests.support.listener import hang_up, http_server, listening, postgres_of_version
from tests.support.postgres import PostgresServer

PASSWORD = "hunter2-hunter2"


def refusal(url: str) -> str:
    database = resolve_database(Settings(database_url=url))
    with pytest.raises(DatabaseUnavailable) as caught:
        database.connect()
    line = str(caught.value)
    assert "\n" not in line
    assert PASSWORD not in line
    assert ";" in line, "it does not say what to do"
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return line


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_closed_port() -> None:
    port = closed_port()
    line = refusal(f"postgresql://lmx:{PASSWORD}@127.0.0.1:{port}/lmx")
    assert f"Postgres at lmx@127.0.0.1:{port}/lmx does not answer: nothing listens there" in line
    assert "correct LMX_DATABASE_URL" in line


def test_an_unknown_host() -> None:
    line = refusal(f"postgresql://lmx:{PASSWORD}@no-such-host.invalid/lmx")
    assert "the host name is unknown; check LMX_DATABASE_URL" in line


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    line = refusal(f"postgresql://lmx:{PASSWORD}@/lmx?host={tmp_path}")
    assert "there is no such socket" in line


def test_something_that_is_no_postgres() -> None:
    with listening(http_server) as port:
        line = refusal(f"postgresql://lmx:{PASSWORD}@127.0.0.1:{port}/lmx")
    assert "is not a Postgres server" in line


def test_a_server_that_hangs_up() -> None:
    with listening(hang_up) as port:
        line = refusal(f"postgresql://lmx:{PASSWORD}@127.0.0.1:{port}/lmx")
    assert "closed the connection" in line


def test_a_server_that_never_answers() -> None:
    # Connections wait in the backlog of a socket that nobody accepts from.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        line = refusal(f"postgresql://lmx@127.0.0.1:{port}/lmx?connect_timeout=2")
    assert "did not answer in time" in line


def test_a_server_without_tls_where_the_url_demands_it() -> None:
    with listening(postgres_of_version("17.1")) as port:
        line = refusal(f"postgresql://lmx:{PASSWORD}@127.0.0.1:{port}/lmx?sslmode=require")
    assert "does not offer TLS" in line


def test_a_server_that_is_too_old() -> None:
    with listening(postgres_of_version("14.19")) as port:
        line = refusal(f"postgresql://lmx:{PASSWORD}@127.0.0.1:{port}/lmx")
    assert "is version 14.19; lmx needs 15 or later; upgrade it" in line


def test_the_oldest_server_that_is_supported() -> None:
    with listening(postgres_of_version("15.0")) as port:
        url = f"postgresql://lmx@127.0.0.1:{port}/lmx"
        resolve_database(Settings(database_url=url)).connect().close()


def test_an_unknown_sslmode() -> None:
    line = refusal(f"postgresql://lmx:{PASSWORD}@127.0.0.1/lmx?sslmode=maybe")
    assert "cannot be used as written" in line


@pytest.fixture
def guarded(pg_server: PostgresServer) -> str:
    """The host parameter of a server whose user `guest` needs a password."""
    pg_server.start()
    with pg_server.database().connect() as admin:
        admin.execute(f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")
    pg_server.stop()
    rules = pg_server.data / "pg_hba.conf"
    rules.write_text("local all guest scram-sha-256\nlocal all lmx trust\n")
    pg_server.start()
    return str(pg_server.home / "postgres" / "run")


def test_a_password_that_is_right_wrong_or_missing(guarded: str) -> None:
    url = f"postgresql://guest:{PASSWORD}@/lmx?host={guarded}"
    resolve_database(Settings(database_url=url)).connect().close()
    for wrong in (url.replace(PASSWORD, "wrong"), url.replace(f":{PASSWORD}", "")):
        assert "refused the user name or password; check LMX_DATABASE_URL" in refusal(wrong)
    assert "does not admit this user" in refusal(url.replace("guest", "stranger"))


def test_a_database_or_user_that_does_not_exist(shared_postgres: PostgresServer) -> None:
    shared_postgres.start()
    host = shared_postgres.home / "postgres" / "run"
    line = refusal(f"postgresql://lmx@/jobs?host={host}")
    assert "has no database jobs; create it (createdb jobs)" in line
    line = refusal(f"postgresql://nobody@/lmx?host={host}")
    assert "knows no user nobody" in line


def test_no_connection_left(pg_server: PostgresServer) -> None:
    pg_server.settings |= {"max_connections": "4", "superuser_reserved_connections": "0"}
    pg_server.settings["max_wal_senders"] = "0"
    database = pg_server.database()
    open_ones = [database.connect() for _ in range(4)]
    host = pg_server.home / "postgres" / "run"
    assert "has no connection free" in refusal(f"postgresql://lmx@/lmx?host={host}")
    for connection in open_ones:
        connection.close()


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (psycopg.errors.DiskFull("no space"), DiskFull, "is full"),
        (psycopg.errors.ReadOnlySqlTransaction("no"), DatabaseUnavailable, "read-only"),
        (psycopg.errors.InsufficientPrivilege("no"), DatabaseUnavailable, "GRANT CREATE"),
        (psycopg.OperationalError("odd\n{brace}"), DatabaseUnavailable, "{brace}"),
    ],
)
def test_the_servers_state_is_told_apart(
    error: psycopg.Error, kind: type[Exception], words: str
) -> None:
    found = failure_of(error, "lmx@db:5432/lmx")
    assert isinstance(found, kind)
    assert words in str(found)
    assert "lmx@db:5432/lmx" in str(found)


def test_a_broken_rule_of_the_schema_is_no_failure_of_the_server(database: Database) -> None:
    with database.connect() as connection, pytest.raises(psycopg.Error) as broken:
        connection.execute("SELECT 1 / 0")
    assert failure_of(broken.value, database.place) is None
