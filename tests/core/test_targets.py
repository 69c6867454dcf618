"""A task is run as its function asks, whichever process submits it."""

from collections.abc import Iterator

import pytest

from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import NotFound


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    """A client in a process that has not imported the function `elsewhere`; a worker has."""
    with database.connect() as conn:
        conn.execute(
            "INSERT INTO lmx.catalog (name, role, queue, max_attempts, time_limit_ms)"
            " VALUES ('elsewhere', 'worker', 'heavy', 2, 5000)"
        )
    client = Client(database)
    yield client
    client.close()


def row_of(database: Database, task: int) -> tuple[str, int, int | None]:
    with database.connect() as conn:
        row = conn.execute(
            "SELECT queue, max_attempts, time_limit_ms FROM lmx.tasks WHERE id = %s", [task]
        ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def test_the_function_decides_queue_attempts_and_time_limit(
    client: Client, database: Database
) -> None:
    assert row_of(database, client.enqueue("elsewhere")) == ("heavy", 2, 5000)


def test_the_submission_may_say_otherwise(client: Client, database: Database) -> None:
    task = client.enqueue("elsewhere", queue="light", max_attempts=7, time_limit=1.5)
    assert row_of(database, task) == ("light", 7, 1500)


def test_many_tasks_are_run_as_one_is(client: Client, database: Database) -> None:
    tasks = client.enqueue_many("elsewhere", [{}, {}])
    assert [row_of(database, task) for task in tasks] == [("heavy", 2, 5000)] * 2


def test_an_unknown_name_is_refused_with_those_that_are_known(client: Client) -> None:
    with pytest.raises(NotFound, match="'nowhere'; known: elsewhere"):
        client.enqueue("nowhere")


def test_an_unknown_name_is_a_worker_function_if_its_queue_is_given(
    client: Client, database: Database
) -> None:
    assert row_of(database, client.enqueue("nowhere", queue="mine")) == ("mine", 4, None)
