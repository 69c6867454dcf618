"""The schema goes up and down whole, once, and a mismatch is told in one line."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from lmx.workflows.config import Settings
from lmx.workflows.database import migrate
from lmx.workflows.database.connect import Database, resolve_database
from lmx.workflows.errors import (
    DatabaseUnavailable,
    InvalidInput,
    LmxError,
    SchemaMismatch,
)
from tests.support.postgres import PostgresServer
from tests.support.processes import start_python

HEAD = max(path.name[:4] for path in Path(migrate.__file__).parents[2].glob(
    "migrations/versions/[0-9][0-9][0-9][0-9]_*.py"
))  # fmt: skip


@pytest.fixture
def empty(database: Database) -> Database:
    """A database without any schema of lmx's."""
    migrate.downgrade(database, "base")
    return database


def as_external(database: Database) -> Database:
    return Database(database.conninfo)


def schemas(database: Database) -> set[str]:
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> $$public$$"
        )
        return {str(name) for (name,) in rows} - {"information_schema"}


def execute(database: Database, statement: str) -> None:
    with database.connect() as connection:
        connection.execute(statement.encode())


def test_an_empty_database_is_brought_to_the_newest_revision(empty: Database) -> None:
    assert migrate.status(empty) == migrate.SchemaStatus(None, HEAD, "empty")
    assert migrate.upgrade(empty) == migrate.SchemaStatus(HEAD, HEAD, "current")
    migrate.require_current(empty)
    execute(empty, "SELECT count(*) FROM lmx.tasks")


def test_an_upgrade_of_a_current_schema_changes_nothing(database: Database) -> None:
    execute(database, "INSERT INTO lmx.queues (name) VALUES ('kept')")
    assert migrate.upgrade(database).state == "current"
    with database.connect() as connection:
        assert connection.execute("SELECT name FROM lmx.queues WHERE name = 'kept'").fetchone()


def test_a_downgrade_to_base_leaves_the_database_clean(database: Database) -> None:
    assert migrate.downgrade(database, "base").state == "empty"
    assert schemas(database) == set()
    with database.connect() as connection:
        left = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace NOT IN"
            " (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_|^information_schema$')"
        ).fetchone()
    assert left == (0,)
    assert migrate.downgrade(database, "base").state == "empty"
    assert migrate.upgrade(database).state == "current"


def test_each_revision_can_be_undone_and_applied_again(empty: Database) -> None:
    revisions = sorted(
        path.name[:4]
        for path in (Path(migrate.__file__).parents[2] / "migrations/versions").glob("0*.py")
    )
    for revision in revisions:
        assert migrate.upgrade(empty, revision).current == revision
    for revision in reversed(revisions):
        assert migrate.downgrade(empty, revision).current == revision


def test_alembic_agrees_that_the_highest_number_is_the_head() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parents[2] / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


UPGRADE = """
import sys
from lmx.workflows.database import migrate
from lmx.workflows.database.connect import Database
print(migrate.upgrade(Database(sys.argv[1])).state)
"""


def test_upgrades_at_the_same_time_do_not_collide(empty: Database) -> None:
    with ThreadPoolExecutor(4) as threads:
        processes = [start_python(UPGRADE, empty.conninfo) for _ in range(3)]
        states = {found.state for found in threads.map(migrate.upgrade, [empty] * 4)}
    assert states == {"current"}
    for process in processes:
        output, errors = process.communicate(timeout=60)
        assert output.strip() == "current", errors


def test_a_failing_revision_leaves_the_schema_as_it_was(
    empty: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    migrations = tmp_path / "100% migrations"
    shutil.copytree(Path(migrate.__file__).parents[2] / "migrations", migrations)
    (migrations / "versions" / "9999_broken.py").write_text(
        "from alembic import op\n"
        f"revision, down_revision = '9999', {HEAD!r}\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE lmx.half_made (id int)')\n"
        "    op.execute('SELECT 1 / 0')\n"
    )
    monkeypatch.setattr(migrate, "_script_location", lambda: migrations)
    migrate._revisions.cache_clear()
    try:
        with pytest.raises(Exception, match="division by zero"):
            migrate.upgrade(empty)
    finally:
        migrate._revisions.cache_clear()
    assert schemas(empty) == set()


@pytest.fixture
def newer(database: Database) -> Iterator[Database]:
    """A database upgraded by a later lmx."""
    execute(database, "UPDATE lmx.alembic_version SET version_num = '9001'")
    yield database


def refusal(kind: type[LmxError], call: object, *arguments: object) -> str:
    assert callable(call)
    with pytest.raises(kind) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_schema_newer_than_the_program_is_refused(newer: Database) -> None:
    assert migrate.status(newer).state == "ahead"
    for call in (migrate.require_current, migrate.upgrade, migrate.prepare):
        line = refusal(SchemaMismatch, call, newer)
        assert "revision 9001, which is newer than this lmx knows" in line
        assert line.endswith("upgrade lmx on this machine")
    refusal(SchemaMismatch, migrate.downgrade, newer, "base")


def test_a_schema_older_than_the_program_says_which_command_to_run(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_revisions", lambda: (HEAD, "9001"))
    assert migrate.status(database).state == "behind"
    line = refusal(SchemaMismatch, migrate.require_current, database)
    assert f"is at revision {HEAD}, and this lmx needs 9001; run: lmx db upgrade" in line


def test_an_external_database_is_never_changed_unasked(empty: Database) -> None:
    line = refusal(SchemaMismatch, migrate.prepare, as_external(empty))
    assert "has no lmx schema yet; run: lmx db upgrade" in line
    assert schemas(empty) == set()


def test_the_embedded_database_is_made_ready_by_its_first_use(pg_server: PostgresServer) -> None:
    pg_server.start()
    database = resolve_database(Settings(home=pg_server.home))
    migrate.prepare(database)
    migrate.prepare(database)
    migrate.require_current(database)


def test_an_unknown_revision_is_refused_with_the_ones_there_are(database: Database) -> None:
    line = refusal(InvalidInput, migrate.upgrade, database, "latest")
    assert "there is no schema revision 'latest'; choose one of head," in line
    line = refusal(InvalidInput, migrate.downgrade, database, "head")
    assert "choose one of base," in line


def test_somebody_elses_schema_of_that_name_is_left_alone(empty: Database) -> None:
    execute(empty, "CREATE SCHEMA lmx")
    execute(empty, "CREATE TABLE lmx.theirs (id int)")
    line = refusal(SchemaMismatch, migrate.upgrade, empty)
    assert "is not lmx's own: it holds theirs" in line
    execute(empty, "SELECT * FROM lmx.theirs")


def test_a_user_without_the_permission_is_told_which_one(empty: Database) -> None:
    name = conninfo_to_dict(empty.conninfo)["dbname"]
    role = f"{name}_guest"
    execute(empty, f"CREATE ROLE {role} LOGIN")
    try:
        guest = Database(psycopg.conninfo.make_conninfo(empty.conninfo, user=role))
        line = refusal(DatabaseUnavailable, migrate.upgrade, guest)
        assert "GRANT CREATE ON DATABASE" in line
    finally:
        execute(empty, f"DROP ROLE {role}")


def test_a_database_that_is_down_is_told_in_one_line(pg_server: PostgresServer) -> None:
    database = as_external(pg_server.database())
    pg_server.stop()
    for call in (migrate.status, migrate.upgrade, migrate.require_current):
        assert "does not answer" in refusal(DatabaseUnavailable, call, database)
