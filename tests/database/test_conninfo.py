"""LMX_DATABASE_URL is read in all its forms, and its password never shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from lmx.workflows.config import Settings
from lmx.workflows.database.connect import Database, resolve_database
from lmx.workflows.database.conninfo import conninfo_from, describe, parse_url
from lmx.workflows.errors import ConfigError


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_usual_scheme_means_the_same(scheme: str) -> None:
    assert parse_url(f"{scheme}://lmx:pw@db.example:6432/jobs?sslmode=require") == {
        "user": "lmx",
        "password": "pw",
        "host": "db.example",
        "port": "6432",
        "dbname": "jobs",
        "sslmode": "require",
    }


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///lmx?host=/run/postgresql",
        "postgresql://%2Frun%2Fpostgresql/lmx",
        "host=/run/postgresql dbname=lmx",
    ],
)
def test_a_unix_socket_can_be_named(url: str) -> None:
    assert parse_url(url) == {"host": "/run/postgresql", "dbname": "lmx"}
    assert describe(conninfo_from(url)).endswith("/run/postgresql/.s.PGSQL.5432, database lmx")


def test_several_hosts_can_be_named() -> None:
    params = parse_url("postgresql://a:5432,b:5433/lmx?target_session_attrs=read-write")
    assert (params["host"], params["port"]) == ("a,b", "5432,5433")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("p%40ss", "p@ss"),
        ("p@ss", "p@ss"),
        ("a:b@c", "a:b@c"),
        ("a?b", "a?b"),
        ("%2F%3F%23%25", "/?#%"),
        ("é", "é"),
    ],
)
def test_special_characters_in_a_password_arrive(written: str, meant: str) -> None:
    params = parse_url(f"postgresql://lmx:{written}@db/lmx")
    assert params["password"] == meant
    assert params["host"] == "db"


@given(st.text(alphabet="aB3@:!$&'()*+,;=._~ \"\\", min_size=1))
def test_any_password_without_reserved_characters_arrives_as_it_is(password: str) -> None:
    conninfo = conninfo_from(f"postgresql://lmx:{password}@db/lmx")
    assert conninfo_to_dict(conninfo)["password"] == password


def test_a_dead_network_is_noticed_unless_the_url_says_otherwise() -> None:
    params = conninfo_to_dict(conninfo_from("postgresql://db/lmx?connect_timeout=3"))
    assert params["connect_timeout"] == "3"
    assert params["keepalives_idle"] == "30"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://lmx:hunter2@db/lmx",
        "postgresql://lmx:hunter2/x@db/lmx",
        "postgresql://lmx:hunter2%@db/lmx",
        "postgresql://lmx:hunter2#x@db:port/lmx",
        "postgresql://lmx:hunter2@db/lmx?no_such_option=1",
        "hunter2",
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line_without_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_url(url)
    line = str(refusal.value)
    assert "LMX_DATABASE_URL" in line
    assert "postgresql://USER:PASSWORD@HOST:PORT/DATABASE" in line
    assert "hunter2" not in line
    assert "\n" not in line
    assert refusal.value.__context__ is None or refusal.value.__suppress_context__


def test_the_password_is_in_no_repr() -> None:
    database = resolve_database(Settings(database_url="postgresql://lmx:hunter2@db:6432/jobs"))
    assert repr(database) == "Database(lmx@db:6432/jobs)"
    assert "hunter2" not in repr(database.engine)
    assert "hunter2" not in repr({"database": database})
    assert isinstance(database, Database)
