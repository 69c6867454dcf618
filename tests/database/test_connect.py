"""Connections: their settings, the engine, TLS, and the embedded server's return after a crash."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import text

from lmx.workflows.config import Settings
from lmx.workflows.database import embedded
from lmx.workflows.database.connect import Connection, Database, resolve_database
from lmx.workflows.errors import DatabaseUnavailable
from tests.support.postgres import PostgresServer
from tests.support.tls import make_certificate, tls_in_front_of


def show(connection: Connection, setting: str) -> object:
    row = connection.execute(f"SHOW {setting}".encode()).fetchone()
    assert row is not None
    return row[0]


def test_a_connection_commits_each_statement_and_says_who_it_is(database: Database) -> None:
    with database.connect(application_name="lmx test") as connection:
        assert connection.autocommit
        assert show(connection, "application_name") == "lmx test"
        assert show(connection, "client_encoding") == "UTF8"


def test_a_hot_connection_runs_with_fixed_plans_and_no_idle_transactions(
    database: Database,
) -> None:
    with database.connect_hot() as connection:
        assert show(connection, "jit") == "off"
        assert show(connection, "enable_seqscan") == "off"
        assert show(connection, "plan_cache_mode") == "force_generic_plan"
        assert show(connection, "idle_in_transaction_session_timeout") == "5s"
        connection.execute("SELECT %s::int", [1])
        prepared = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
        assert prepared is not None
        assert prepared[0] >= 1


def test_a_hot_connection_keeps_the_options_of_the_url(database: Database) -> None:
    conninfo = make_conninfo(database.conninfo, options="-c work_mem=9MB")
    with Database(conninfo).connect_hot() as connection:
        assert show(connection, "work_mem") == "9MB"
        assert show(connection, "jit") == "off"


def test_the_engine_reaches_the_same_database(database: Database) -> None:
    name = conninfo_to_dict(database.conninfo)["dbname"]
    with database.engine.begin() as connection:
        assert connection.execute(text("SELECT current_database()")).scalar() == name
    assert database.engine is database.engine


def test_the_engine_survives_a_restart_of_the_server(pg_server: PostgresServer) -> None:
    database = pg_server.database()
    for _ in range(2):
        with database.engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
        pg_server.stop_immediately()
    database.engine.dispose()


def test_a_crashed_embedded_server_is_brought_back_by_the_next_connection(
    pg_server: PostgresServer,
) -> None:
    database = pg_server.database()
    pg_server.kill()
    with database.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_embedded_server_that_was_stopped_stays_down(pg_server: PostgresServer) -> None:
    database = pg_server.database()
    pg_server.stop()
    with pytest.raises(DatabaseUnavailable, match="lmx up"):
        database.connect()
    assert embedded.status(pg_server.home).state == "stopped"


def test_a_url_is_used_as_it_stands_and_no_embedded_server_is_made(
    database: Database, home: Path
) -> None:
    params = conninfo_to_dict(database.conninfo)
    url = f"postgresql://lmx@/{params['dbname']}?host={params['host']}"
    external = resolve_database(Settings(home=home, database_url=url))
    assert not external.embedded
    with external.connect() as connection:
        assert connection.info.dbname == params["dbname"]
    assert list(home.iterdir()) == []


def test_a_server_behind_tls_is_verified(
    shared_postgres: PostgresServer, database: Database, tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path)
    server_socket = shared_postgres.home / "postgres" / "run" / ".s.PGSQL.5432"
    name = conninfo_to_dict(database.conninfo)["dbname"]
    with tls_in_front_of(server_socket, certificate, key) as port:
        url = f"postgresql://lmx@localhost:{port}/{name}?sslmode=verify-full"
        trusted = Settings(database_url=f"{url}&sslrootcert={certificate}")
        with resolve_database(trusted).connect() as connection:
            assert connection.pgconn.ssl_in_use
        stranger = Settings(database_url=f"{url}&sslrootcert=system")
        with pytest.raises(DatabaseUnavailable, match="did not prove its identity by TLS"):
            resolve_database(stranger).connect()
