"""`lmx db`: schema, server, and how long things are kept."""

from collections.abc import Iterator

import pytest

from lmx.workflows.database import migrate
from tests.support.command import Lmx
from tests.support.history import History


@pytest.fixture
def history(lmx: Lmx) -> Iterator[History]:
    """Runs of the past."""
    past = History(lmx.database)
    yield past
    past.hands.close()


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


def test_old_runs_are_pruned_when_a_person_says_so(lmx: Lmx, history: History) -> None:
    run, *_ = history.run(days=90)
    dry = lmx("db", "prune", "--older-than", "30d", "--runs", "--dry-run", "--json").json
    assert (dry["dry_run"], dry["counts"]["runs"], dry["counts"]["tasks"]) == (True, 1, 3)
    asked = lmx("db", "prune", "--older-than", "30d", "--runs", stdin=b"n\n")
    assert asked.code == 1
    assert "1, with the results of 3 tasks?" in asked.err
    assert lmx("show", run).code == 0
    done = lmx("db", "prune", "--older-than", "30d", "--runs", "--yes")
    assert "tasks\t3" in done.out.splitlines()
    assert lmx("db", "prune", "--older-than", "999999d").code == 0
    gone = lmx("show", run)
    assert (gone.code, "were pruned); see them with: lmx runs" in gone.err) == (2, True)
    assert "pruned" in lmx("budget", run).out
    assert lmx("budget", "--check").code == 0
    assert "pruned    runs of what ended before " in lmx("db", "status").out


@pytest.mark.parametrize("age", ["12h", "soon", "-1d"])
def test_an_age_that_cannot_be_meant_is_refused(lmx: Lmx, age: str) -> None:
    refused = lmx("db", "prune", "--older-than", age)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
