"""The broker under test and what tests do with it, the same words for every kind of broker."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
from dramatiq import Actor, Broker, Message, Middleware, Worker
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import CurrentMessage, GroupCallbacks, default_middleware
from dramatiq.rate_limits import RateLimiterBackend
from dramatiq.rate_limits.backends import StubBackend as StubRateLimits
from dramatiq.results import ResultBackend, Results
from dramatiq.results.backends import StubBackend as StubResults

from lmx.workers.broker import PostgresBroker
from lmx.workers.rate_limits import PostgresRateLimiterBackend
from lmx.workers.results import PostgresResults
from lmx.workflows.database.connect import Database

PATIENCE_MS = 20_000
QUEUE = "default"


class Subject(ABC):
    """A broker with Dramatiq's default middleware, results and group callbacks."""

    keeps_unacked: bool
    broker: Broker
    results: ResultBackend
    limits: RateLimiterBackend

    def actor(self, fn: Callable[..., Any], **options: Any) -> Actor[Any, Any]:
        """Declare an actor on this broker."""
        return dramatiq.actor(broker=self.broker, **options)(fn)

    @contextmanager
    def worker(self, threads: int = 4, prefetch: int | None = None) -> Iterator[Worker]:
        """Run a worker while the block runs."""
        worker = Worker(self.broker, worker_timeout=20, worker_threads=threads)
        if prefetch is not None:
            worker.queue_prefetch = prefetch
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(timeout=PATIENCE_MS)

    def process(self, queue: str = QUEUE, threads: int = 4) -> None:
        """Run a worker until a queue has nothing left to do."""
        with self.worker(threads):
            self.join(queue)

    def result(self, message: Any) -> Any:
        """Wait for the result of a message."""
        return message.get_result(backend=self.results, block=True, timeout=PATIENCE_MS)

    @abstractmethod
    def join(self, queue: str = QUEUE) -> None:
        """Wait until a queue has nothing left to do."""

    @abstractmethod
    def dead_letters(self, queue: str = QUEUE) -> list[Message[Any]]:
        """The messages of a queue that were rejected."""

    @abstractmethod
    def close(self) -> None:
        """Disconnect."""

    def _middleware(self, extra: list[Middleware]) -> list[Middleware]:
        return [
            *(kind() for kind in default_middleware),
            CurrentMessage(),
            GroupCallbacks(self.limits),
            Results(backend=self.results),
            *extra,
        ]


class StubSubject(Subject):
    """Dramatiq's own broker in memory: the yardstick."""

    keeps_unacked = False

    def __init__(self, middleware: list[Middleware]) -> None:
        self.results = StubResults()
        self.limits = StubRateLimits()
        self.stub = self.broker = StubBroker(self._middleware(middleware), fail_fast_default=False)

    def join(self, queue: str = QUEUE) -> None:
        self.stub.join(queue, timeout=PATIENCE_MS)

    def dead_letters(self, queue: str = QUEUE) -> list[Message[Any]]:
        return [proxy._message for proxy in self.stub.dead_letters_by_queue[queue]]

    def close(self) -> None:
        self.stub.close()


class PostgresSubject(Subject):
    """Our broker, on a database of the test's own."""

    keeps_unacked = True

    def __init__(self, database: Database, middleware: list[Middleware]) -> None:
        self.database = database
        self.postgres_results = self.results = PostgresResults(database)
        self.postgres_limits = self.limits = PostgresRateLimiterBackend(database)
        self.postgres = self.broker = PostgresBroker(
            database, middleware=self._middleware(middleware)
        )

    def join(self, queue: str = QUEUE) -> None:
        self.postgres.join(queue, timeout=PATIENCE_MS)

    def dead_letters(self, queue: str = QUEUE) -> list[Message[Any]]:
        with self.database.connect() as conn:
            rows = conn.execute(
                "SELECT message FROM lmx.tasks WHERE queue = %s AND state = 'failed' ORDER BY id",
                [queue],
            ).fetchall()
        return [Message.decode(row[0]) for row in rows]

    def close(self) -> None:
        self.postgres.close()
        self.postgres_results.close()
        self.postgres_limits.close()
