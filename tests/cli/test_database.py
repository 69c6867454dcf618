"""`lmx db`: schema and server."""

import pytest

from lmx.workflows.database import migrate
from tests.support.command import Lmx


def test_status_tells_place_and_revision(lmx: Lmx) -> None:
    status = lmx("db", "status", "--json")
    assert status.code == 0
    assert (status.json["state"], status.json["embedded"]) == ("current", False)
    assert lmx("db", "status").out.startswith(f"database  {lmx.database.place}")


def test_a_database_without_the_schema_is_pointed_out_and_upgraded(lmx: Lmx) -> None:
    assert lmx("db", "downgrade", "base", "--yes").code == 0
    unusable = lmx("runs")
    assert (unusable.code, unusable.err.count("\n")) == (5, 1)
    assert "has no lmx schema yet; run: lmx db upgrade" in unusable.err
    assert lmx("db", "status").code == 5
    assert "upgraded the schema from nothing" in lmx("db", "upgrade").out
    assert lmx("runs").code == 0
    assert "already" in lmx("db", "upgrade").out


def test_a_downgrade_asks_first(lmx: Lmx) -> None:
    asked = lmx("db", "downgrade", "base", stdin=b"n\n")
    assert asked.code == 1
    assert migrate.status(lmx.database).state == "current"


def test_a_newer_schema_is_one_line(lmx: Lmx) -> None:
    with lmx.database.connect() as connection:
        connection.execute("UPDATE lmx.alembic_version SET version_num = '9999'")
    newer = lmx("runs")
    assert (newer.code, newer.err.count("\n")) == (5, 1)
    assert "newer than this lmx knows" in newer.err


def test_url_is_what_the_settings_say(lmx: Lmx) -> None:
    assert lmx("db", "url").out == f"{lmx.database.conninfo}\n"


@pytest.mark.parametrize("revision", ["nope", "0000"])
def test_an_unknown_revision_is_refused(lmx: Lmx, revision: str) -> None:
    assert lmx("db", "upgrade", revision).code == 2
