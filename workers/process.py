"""One worker process: serves one queue with a number of slots until it is told to stop.

Its parts: a registration (the lease), a Dramatiq worker fed by the Postgres broker, an executor
for lmx's own tasks, a watchdog. `run` puts them together and takes them down in order.
"""

import contextlib
import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import dramatiq
import psycopg
from dramatiq import Worker
from dramatiq.common import iter_queue
from dramatiq.errors import ConnectionFailed

from lmx.workers.broker import PostgresBroker
from lmx.workers.delivery import EXECUTE, Delivery
from lmx.workers.executor import Body, DetachedBody, Executor
from lmx.workers.intake import Intake, IntakeFactory
from lmx.workers.pruning import Pruner
from lmx.workers.running import Running
from lmx.workers.watchdog import Watchdog
from lmx.workflows import registry
from lmx.workflows.commit import Committer
from lmx.workflows.config import Settings
from lmx.workflows.coordinators.park import Unreachable
from lmx.workflows.database.connect import Database
from lmx.workflows.database.hotpool import HotPool
from lmx.workflows.errors import DatabaseUnavailable
from lmx.workflows.leases import Registration
from lmx.workflows.operations import Applied, Operation

log = logging.getLogger("lmx.worker")

#: A thread that computes lets another one go on after so long. By default (5 ms) the committing
#: thread would wait for that after each round trip to the database, while calls are made up.
_SWITCH_S: Final = 0.0005

#: How many leases per slot a process may hold while its tasks take less than milliseconds.
FETCH_AHEAD: Final = 8


@dataclass(slots=True)
class ProcessPort:
    """A coordinator's way to the database: the process's group commit, and a pool for reading."""

    broker: PostgresBroker
    pool: HotPool

    def commit(self, operations: Sequence[Operation]) -> list[Applied]:
        """Commit operations together and wait for it, however long the database is away.

        Raises Unreachable if this process is stopping meanwhile.
        """
        try:
            return self.broker.committer.submit(*operations).wait()
        except (psycopg.OperationalError, ConnectionFailed) as error:
            raise Unreachable from error

    @contextlib.contextmanager
    def borrow(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a connection for reading. Raises Unreachable, out of the block, too."""
        try:
            with self.pool.borrow() as conn:
                yield conn
        except (psycopg.OperationalError, DatabaseUnavailable) as error:
            raise Unreachable from error


@dataclass(slots=True)
class WorkerProcess:
    """Serves `queue`. `bodies` are for tasks that are no registered functions.

    `detached` bodies need `threads` only to begin, and not one for each slot. `beside` are queues
    that it serves in ways of its own. `on_beat` runs with
    every heartbeat, on its connection; `on_drain` when nothing new begins any more and outcomes can
    still be recorded, `on_stop` when all else has stopped.
    """

    settings: Settings
    database: Database
    queue: str
    slots: int
    bodies: Mapping[str, Body] = field(default_factory=dict)
    detached: Mapping[str, DetachedBody] = field(default_factory=dict)
    threads: int | None = None
    beside: Sequence[str] = ()
    intake: IntakeFactory = Intake
    on_beat: Callable[[psycopg.Connection[Any]], None] | None = None
    on_drain: Callable[[], None] | None = None
    on_stop: Callable[[], None] | None = None
    executor: Executor = field(init=False)
    broker: PostgresBroker = field(init=False)
    running: Running = field(default_factory=Running)
    _pool: HotPool = field(init=False)
    _watchdog: Watchdog = field(init=False)
    _pruner: Pruner = field(init=False)
    _registration: Registration = field(init=False)
    _worker: Worker = field(init=False)

    def __post_init__(self) -> None:
        self._pool = HotPool(self.database, keep=self.slots)
        self._watchdog = Watchdog(self.running, self._pool)
        self._pruner = Pruner(self.settings, self.database)
        self._registration = Registration(
            self.database,
            name=self.queue,
            queues=(self.queue, *self.beside),
            lease_s=self.settings.lease_s,
            heartbeat_s=self.settings.heartbeat_s,
            on_cancelled=self._on_cancelled,
            on_beat=self._on_beat,
            on_lost=self._on_lost,
        )
        self.broker = PostgresBroker(
            self.database,
            middleware=[],
            registration=self._registration,
            poll_s=self.settings.poll_s,
            intake=self.intake,
            slots=self.slots,
        )
        port = ProcessPort(self.broker, self._pool)
        self.executor = Executor(
            self.database, port, self.running, bodies=self.bodies, detached=self.detached
        )
        as_actor = dramatiq.actor(actor_name=EXECUTE, queue_name=self.queue, broker=self.broker)
        as_actor(self.executor.execute)
        self._worker = Worker(
            self.broker,
            queues={self.queue},
            worker_threads=self.threads or self.slots,
            worker_timeout=200,
        )
        # A bound for short tasks; while tasks take long, the broker holds no more than the slots.
        ahead = FETCH_AHEAD if self.intake is Intake else 1
        self._worker.queue_prefetch = self.slots * ahead

    @property
    def worker_id(self) -> int:
        """The process's id among the workers."""
        return self._registration.worker_id

    @property
    def committer(self) -> Committer:
        """The process's group commit."""
        return self.broker.committer

    def start(self) -> None:
        """Publish the functions, register, and begin to serve."""
        with self._pool.borrow() as conn:
            registry.publish(conn)
        self._registration.start()
        self._watchdog.start()
        self._pruner.start()
        self._worker.start()
        log.info("serving queue %s with %s slots", self.queue, self.slots)

    def stop(self) -> None:
        """Give back what was not begun, finish what was, sign off.

        What is not finished after the grace period is given back by the lease's end.
        """
        self._give_back_unbegun()
        self._worker.stop(timeout=int(self.settings.shutdown_grace_s * 1000))
        if self.on_drain is not None:
            self.on_drain()
        self.broker.close()
        self._watchdog.stop()
        self._pruner.stop()
        self._registration.stop()
        self._pool.close()
        if self.on_stop is not None:
            self.on_stop()

    def _give_back_unbegun(self) -> None:
        """Give back now what Dramatiq would keep until its threads have finished."""
        self.broker.stop_claiming()
        for thread in self._worker.workers:
            thread.stop()
        for item in iter_queue(self._worker.work_queue):
            delivery = item.message
            assert isinstance(delivery, Delivery)
            delivery.intake.give_back(delivery.lease)

    def _on_beat(self, conn: psycopg.Connection[Any]) -> None:
        if self.on_beat is not None:
            self.on_beat(conn)
        with contextlib.suppress(ConnectionFailed):  # no consumer has begun yet
            self.committer.request_reconcile()

    def _on_cancelled(self, task_ids: Iterable[int]) -> None:
        self.broker.revoke(self.running.cancel(task_ids))

    def _on_lost(self) -> None:
        self.running.cancel_all()
        self.broker.leases_lost()


def serve(process: WorkerProcess) -> None:
    """Run a worker process until SIGTERM or SIGINT."""
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())
    sys.setswitchinterval(_SWITCH_S)
    # What is loaded by now stays: the SDKs' types are hundreds of thousands of objects, and each
    # full collection would stop everything for as long as it takes to walk through them. So would
    # this one, if calls had begun.
    gc.collect()
    gc.freeze()
    process.start()
    told_to_stop.wait()
    log.info("stopping")
    process.stop()
    gc.unfreeze()
