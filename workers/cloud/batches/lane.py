"""The thread that runs an account's batches: gathers, sends, looks after them, records results.

Each step is a short transaction or one request to the provider; the rows say what is next. Between
steps the thread sleeps until a batch is due, or until it is told that calls wait.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from lmx.workers.cloud.batches import records
from lmx.workers.cloud.batches.collecting import Collector
from lmx.workers.cloud.batches.gathering import gather
from lmx.workers.cloud.batches.recording import record
from lmx.workers.cloud.batches.records import Batch, Connection
from lmx.workers.cloud.batches.sending import GROUP, Sender
from lmx.workers.cloud.batches.wire import BatchProvider
from lmx.workers.cloud.errors import Failure, ProviderError
from lmx.workflows.alarm import Alarm
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import LmxError
from lmx.workflows.providers.batching import BatchTerms
from lmx.workflows.providers.pricing import Prices
from lmx.workflows.sweep import MAX_DELIVERIES

log = logging.getLogger("lmx.batches")

#: At the latest so often, in seconds, the rows are looked at without being told to.
_POLL_S: Final = 30.0
#: Not more often than this, however many calls are queued one by one.
_BREATH_S: Final = 0.25
_RECONNECT_S: Final = 1.0
#: How often a batch is begun with before it is given up; what was sent is taken twice each time.
_MOST: Final = 2 * MAX_DELIVERIES
#: How long a request that is being made may take to end when the process stops.
_STOP_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class LaneSpec:
    """An account's batches: the queue in which calls wait for them, and its terms."""

    queue: str
    connect: Callable[[], BatchProvider]
    terms: BatchTerms


class Lane:
    """Runs the batches of one account until `stop`. `worker_id` is this process's."""

    def __init__(
        self, database: Database, spec: LaneSpec, prices: Prices, worker_id: Callable[[], int]
    ) -> None:
        self._database = database
        self._queue = spec.queue
        self._connect = spec.connect
        self._terms = spec.terms
        self._prices = prices
        self._worker_id = worker_id
        self._alarm = Alarm()
        self._stopping = threading.Event()
        self._request: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="lmx-batches", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a request that is under way is broken off, and found out about later."""
        self._stopping.set()
        self._alarm.ring()
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._break_off)
        if self._thread.ident is None:
            self._loop.close()
        else:
            self._thread.join(_STOP_S)
        if not self._thread.is_alive():
            self._alarm.close()

    def _break_off(self) -> None:
        if self._request is not None:
            self._request.cancel()

    def _run(self) -> None:
        provider = self._connect()
        while not self._stopping.is_set():
            try:
                with self._open() as conn:
                    self._serve(conn, provider)
            except asyncio.CancelledError:
                break
            except (psycopg.Error, LmxError) as error:
                log.warning("batches wait for the database: %s", " ".join(str(error).split()))
                self._stopping.wait(_RECONNECT_S)
            except Exception:
                log.exception("defect in the batches of %s", self._queue)
                self._stopping.wait(_RECONNECT_S)
        with contextlib.suppress(Exception):
            self._loop.run_until_complete(provider.close())
        self._loop.close()

    def _open(self) -> Connection:
        conn = self._database.connect_hot(application_name=f"lmx {self._queue}")
        conn.execute(f'LISTEN "lmx:{self._queue}"')
        return conn

    def _serve(self, conn: Connection, provider: BatchProvider) -> None:
        while not self._stopping.is_set():
            pause = self.round(conn, provider)
            self._alarm.sleep(conn, _BREATH_S)
            for _ in conn.notifies(timeout=0):
                pause = 0.0
            if pause > _BREATH_S and not self._stopping.is_set():
                self._alarm.sleep(conn, pause - _BREATH_S)

    def round(self, conn: Connection, provider: BatchProvider) -> float:
        """Do all that is due; return in how many seconds there will be more."""
        worker = self._worker_id()
        if worker == 0:
            return _BREATH_S  # the process has not registered yet
        due = _POLL_S
        while not self._stopping.is_set():
            made, gathered_in = gather(conn, self._queue, worker, self._terms)
            if not made:
                break
        if gathered_in is not None:
            due = min(due, gathered_in)
        while not self._stopping.is_set() and (batch := records.take(conn, self._queue, worker)):
            try:
                self.wait_for(self._step(conn, provider, batch, worker))
            except records.Superseded:
                log.warning("batch %s has passed to another worker", batch.id)
        batch_in = records.next_due(conn, self._queue)
        return max(0.0, due if batch_in is None else min(due, batch_in))

    def wait_for(self, step: Coroutine[Any, Any, None]) -> None:
        """Run what talks to the provider; `stop` breaks it off."""
        self._request = self._loop.create_task(step)
        try:
            self._loop.run_until_complete(self._request)
        finally:
            self._request = None

    async def _step(
        self, conn: Connection, provider: BatchProvider, batch: Batch, worker: int
    ) -> None:
        """What a batch needs next. One that kills its workers again and again is given up."""
        terms = self._terms
        if batch.deliveries > _MOST:
            self._give_up(conn, batch, worker)
            return
        if batch.state != "sending":
            collector = Collector(conn, provider, self._prices, worker, terms.poll_s)
            await collector.look_after(batch)
            return
        sender = Sender(conn, provider, self._prices, worker, terms)
        if not batch.sent:
            await sender.send(batch)
            return
        if batch.inherited:  # what a dead worker has sent last may not be in the list yet
            records.put_back(conn, batch, worker, terms.settled_s, tried=batch.deliveries)
            return
        try:
            await sender.find(batch)
        except ProviderError as error:
            log.warning("batch %s cannot be looked for: %s", batch.id, error)
            records.write(conn, batch, worker, "error = %s", str(error))
            records.put_back(conn, batch, worker, terms.poll_s)

    def _give_up(self, conn: Connection, batch: Batch, worker: int) -> None:
        error = ProviderError(
            Failure.LOST, f"its worker died {MAX_DELIVERIES} times while it saw to the batch"
        )
        while some := records.members(conn, batch, limit=GROUP):
            lost = {one.lease.task_id: error for one in some}
            record(conn, batch, worker, dict(lost), self._prices)
        records.close(conn, batch, worker, "ended", str(error))
