"""Messages enqueued in the caller's own transaction exist if and when that commits."""

import pytest
import sqlalchemy
from sqlalchemy.orm import Session

from lmx.workers.broker import PostgresBroker
from lmx.workflows.database.connect import Connection, Database
from lmx.workflows.errors import InvalidInput
from tests.broker.conftest import Declare, Working

CREATE = "CREATE TABLE orders (id integer PRIMARY KEY)"
INSERT = "INSERT INTO orders (id) VALUES (1)"


class RolledBackError(Exception):
    """Ends a transaction."""


def waiting(sql: Connection) -> int:
    """How many messages wait."""
    row = sql.execute("SELECT count(*) FROM lmx.tasks WHERE state = 'ready'").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def orders(sql: Connection) -> None:
    """The application's own table."""
    sql.execute(CREATE)


@pytest.mark.usefixtures("orders")
def test_a_message_of_a_psycopg_transaction_appears_with_its_commit(
    broker: PostgresBroker, actor: Declare, database: Database, sql: Connection, working: Working
) -> None:
    # Given an application that writes a row and sends a message in one transaction
    seen: list[int] = []
    ship = actor(seen.append, actor_name="ship")
    with database.connect(autocommit=False) as mine, working(broker):
        with broker.transaction(mine):
            mine.execute(INSERT)
            ship.send(1)

        # When it has not committed yet, then nobody else sees the message
        assert waiting(sql) == 0

        # When it commits, then the message is processed
        mine.commit()
        broker.join("default", timeout=20_000)
    assert seen == [1]


@pytest.mark.usefixtures("orders")
def test_a_message_of_a_psycopg_transaction_vanishes_with_its_rollback(
    broker: PostgresBroker, actor: Declare, database: Database, sql: Connection
) -> None:
    ship = actor(lambda order: None, actor_name="ship")
    with (
        database.connect() as mine,
        pytest.raises(RolledBackError),
        mine.transaction(),
        broker.transaction(mine),
    ):
        mine.execute(INSERT)
        ship.send(1)
        raise RolledBackError
    assert waiting(sql) == 0

    # And the next message is not affected
    ship.send(2)
    assert waiting(sql) == 1


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize("commit", [True, False])
def test_a_sqlalchemy_connection_decides(
    broker: PostgresBroker, actor: Declare, database: Database, sql: Connection, commit: bool
) -> None:
    ship = actor(lambda order: None, actor_name="ship")
    with database.engine.connect() as mine:
        with broker.transaction(mine):
            ship.send(1)
            mine.execute(sqlalchemy.text(INSERT))
        assert waiting(sql) == 0
        if commit:
            mine.commit()
    assert waiting(sql) == int(commit)


@pytest.mark.parametrize("commit", [True, False])
def test_a_message_may_be_all_there_is_in_a_sqlalchemy_transaction(
    broker: PostgresBroker, actor: Declare, database: Database, sql: Connection, commit: bool
) -> None:
    ship = actor(lambda order: None, actor_name="ship")
    with database.engine.connect() as mine:
        broker.enqueue(ship.message(1), connection=mine)
        if commit:
            mine.commit()
    assert waiting(sql) == int(commit)


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize("commit", [True, False])
def test_a_sqlalchemy_session_decides(
    broker: PostgresBroker, actor: Declare, database: Database, sql: Connection, commit: bool
) -> None:
    ship = actor(lambda order: None, actor_name="ship")
    with Session(database.engine) as mine:
        mine.execute(sqlalchemy.text(INSERT))
        with broker.transaction(mine):
            ship.send(1)
        if commit:
            mine.commit()
        else:
            mine.rollback()
    assert waiting(sql) == int(commit)


def test_a_batch_takes_part_in_the_transaction(
    broker: PostgresBroker, actor: Declare, database: Database, sql: Connection
) -> None:
    ship = actor(lambda order: None, actor_name="ship")
    with database.connect(autocommit=False) as mine:
        messages = [ship.message(number) for number in range(10)]
        broker.enqueue_many(messages, connection=mine)
        broker.enqueue_many(messages, connection=mine)  # a repeat finds them in the queue
        assert waiting(sql) == 0
        mine.commit()
    assert waiting(sql) == 10


def test_delays_work_inside_a_transaction(
    broker: PostgresBroker, actor: Declare, database: Database, sql: Connection
) -> None:
    ship = actor(lambda order: None, actor_name="ship")
    with database.connect(autocommit=False) as mine, broker.transaction(mine):
        ship.send_with_options(args=(1,), delay=60_000)
        mine.commit()
    row = sql.execute("SELECT state::text, run_at > now() + interval '50 s' FROM lmx.tasks")
    assert row.fetchall() == [("scheduled", True)]


def test_a_connection_of_another_kind_is_refused(broker: PostgresBroker, actor: Declare) -> None:
    ship = actor(lambda: None, actor_name="ship")
    other = sqlalchemy.create_engine("sqlite://").connect()
    with pytest.raises(InvalidInput, match="psycopg"), broker.transaction(other):
        ship.send()
