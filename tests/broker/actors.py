"""Actors for worker processes that tests start and kill.

Run as a script it is such a process; it is also a module for the `dramatiq` command.
"""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import dramatiq
from dramatiq import Worker
from dramatiq.middleware import GroupCallbacks
from dramatiq.results import Results

from lmx.workers.broker import PostgresBroker
from lmx.workers.rate_limits import PostgresRateLimiterBackend
from lmx.workers.results import PostgresResults
from lmx.workflows.database.connect import Database

DATABASE = "TEST_CONNINFO"
DIARY = "TEST_DIARY"


class ActorsBroker(PostgresBroker):
    """A broker with results and barriers, which it disconnects when it closes."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._limits, self._results = (
            PostgresRateLimiterBackend(database),
            PostgresResults(database),
        )
        self.add_middleware(GroupCallbacks(self._limits))
        self.add_middleware(Results(backend=self._results, store_results=True))

    def close(self) -> None:
        super().close()
        self._limits.close()
        self._results.close()


def make_broker(database: Database) -> PostgresBroker:
    """The broker of these actors, the same in every process."""
    broker = ActorsBroker(database)
    dramatiq.set_broker(broker)
    functions: tuple[Callable[..., object], ...] = (first, second, flaky, finish)
    for function in functions:
        dramatiq.actor(broker=broker, min_backoff=1, max_backoff=5)(function)
    return broker


def note(what: str) -> None:
    """Write down that an actor ran; appends of this size are atomic."""
    with Path(os.environ[DIARY]).open("a", encoding="utf-8") as diary:
        diary.write(f"{what}\n")


def first(name: str) -> str:
    note(f"first {name}")
    return name


def second(name: str) -> None:
    note(f"second {name}")


def flaky(name: str) -> None:
    note(f"flaky {name}")
    raise ValueError(name)


def finish() -> None:
    note("finish")


if DATABASE in os.environ:
    broker = make_broker(Database(os.environ[DATABASE]))


def main() -> None:
    """Work with two threads until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker = Worker(broker, worker_timeout=20, worker_threads=2)
    worker.start()
    stop.wait()
    worker.stop()
    broker.close()


if __name__ == "__main__":
    main()
