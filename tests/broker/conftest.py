"""What the tests of our own broker share: a broker, workers for it, and looks at its rows."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import dramatiq
import pytest
from dramatiq import Actor, Worker

from lmx.workers.broker import PostgresBroker
from lmx.workflows.database.connect import Connection, Database

Declare = Callable[..., Actor[Any, Any]]
Working = Callable[..., AbstractContextManager[Worker]]


@pytest.fixture
def broker(database: Database) -> Iterator[PostgresBroker]:
    """A broker with Dramatiq's default middleware."""
    made = PostgresBroker(database)
    yield made
    made.close()


@pytest.fixture
def actor(broker: PostgresBroker) -> Declare:
    """Declares functions as actors of the broker."""

    def declare(fn: Callable[..., Any], **options: Any) -> Actor[Any, Any]:
        return dramatiq.actor(broker=broker, **options)(fn)

    return declare


@pytest.fixture
def working() -> Working:
    """Runs a worker for a broker while a block runs."""

    @contextmanager
    def run(broker: PostgresBroker, threads: int = 4) -> Iterator[Worker]:
        worker = Worker(broker, worker_timeout=20, worker_threads=threads)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(timeout=20_000)

    return run


@pytest.fixture
def sql(database: Database) -> Iterator[Connection]:
    """A connection to look at the rows, or to meddle with them."""
    with database.connect() as conn:
        yield conn
