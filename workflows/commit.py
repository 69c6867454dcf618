"""Group commit: one thread and one connection write for all slots of a worker process.

Slots submit operations and wait; whatever has arrived while the last transaction committed goes
into the next one, together with the claim of the tasks that replace those just finished. So the
cost of a commit is shared by all slots, and R2 holds: what belongs together commits together.

The same connection listens: a notification wakes the thread, which claims at once. Between
notifications it polls, at the latest every `POLL_S` seconds, because a NOTIFY is only a hint.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any, Final, Protocol

import psycopg

from lmx.workflows.errors import LmxError
from lmx.workflows.notices import Notices
from lmx.workflows.operations import Applied, Operation
from lmx.workflows.sql import statement
from lmx.workflows.ticket import Ticket
from lmx.workflows.turn import (
    TRANSIENT,
    Answer,
    Batch,
    Claimed,
    Counters,
    Demand,
    Feed,
    commit,
    deliver,
    server_state,
)

log = logging.getLogger("lmx.commit")

POLL_S: Final = 1.0
RECONNECT_S: Final = 0.2


class Connector(Protocol):
    """Opens the autocommit connection that the thread writes and listens on."""

    def __call__(self) -> psycopg.Connection[Any]: ...


@dataclass(slots=True)
class Committer:
    """The group-commit thread. `start` it, `submit` operations, `add` consumers, `stop` it.

    `reconcile(connection)` runs in the thread, between two transactions, after every reconnect
    and whenever `request_reconcile` was called: no claim is under way then, so what the database
    says and what the process holds can be compared.
    """

    connect: Connector
    poll_s: float = POLL_S
    reconcile: Callable[[psycopg.Connection[Any]], None] | None = None
    counters: Counters = field(default_factory=Counters)
    _queue: deque[Batch] = field(default_factory=deque)
    _feeds: dict[str, Feed] = field(default_factory=dict)
    _notices: Notices = field(init=False)
    _idle: bool = False
    _stopping: bool = False
    _away: bool = False
    _reconcile_wanted: bool = False
    _next_due: float = 0.0
    _thread: threading.Thread | None = None
    _conn: psycopg.Connection[Any] | None = None

    def __post_init__(self) -> None:
        self._notices = Notices(self._heard)

    def start(self) -> None:
        """Open the connection and start the thread. Raises what `connect` raises."""
        self._attach(self.connect())
        self._thread = threading.Thread(target=self._loop, name="lmx-commit", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Commit what has been submitted, then end the thread and close the connection.

        If the database cannot be reached, the tickets still open fail.
        """
        self._stopping = True
        self.wake()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self._notices.close()
        if self._conn is not None:
            self._conn.close()

    def submit(self, *operations: Operation) -> Ticket[list[Applied]]:
        """Commit operations together, in one transaction; the ticket tells what became of each."""
        ticket: Ticket[list[Applied]] = Ticket()
        self.post(operations, ticket)
        return ticket

    def post(self, operations: Sequence[Operation], answer: Answer) -> None:
        """Commit operations together; `answer` is told in the committing thread, so be brief."""
        self._queue.append(Batch(operations, answer))
        if self._idle:
            self.wake()

    def add(self, demand: Demand) -> None:
        """Feed a consumer from its queue from now on."""
        self._feeds[demand.queue] = Feed(demand)
        self.wake()

    def remove(self, queue: str) -> None:
        """Feed the consumer of `queue` no longer."""
        self._feeds.pop(queue, None)

    def hint(self, queue: str) -> None:
        """Tell the thread that `queue` may have something ready."""
        self._heard(queue, None)
        self.wake()

    def due_in(self, queue: str, seconds: float) -> None:
        """Claim from `queue` again in so many seconds; for demands, while they claim."""
        self._heard(queue, max(0.0, seconds))

    def request_reconcile(self) -> None:
        """Ask for a comparison of what the database says is leased here and what is held."""
        self._reconcile_wanted = True
        self.wake()

    def wake(self) -> None:
        """End the thread's wait for notifications."""
        self._notices.wake()

    def _loop(self) -> None:
        while True:
            try:
                if not self._step():
                    return
            except (psycopg.Error, LmxError) as error:
                self._lost(error)
            except Exception as error:
                log.exception("defect in the group commit")
                self._lost(error)
            if self._stopping and (self._conn is None or self._conn.closed):
                self._abandon()
                return

    def _step(self) -> bool:
        """Do the next thing there is to do, or sleep; returns False when all is done."""
        conn = self._connection()
        self._notices.listen(list(self._feeds))
        if self._reconcile_wanted and self.reconcile is not None:
            self._reconcile_wanted = False
            self.reconcile(conn)
        if monotonic() >= self._next_due:
            self._promote(conn)
        batches = self._gather()
        feeds = self._claimable()
        if batches or feeds:
            self._turn(conn, batches, feeds)
        elif self._stopping:
            return False
        else:
            self._sleep()
        return True

    def _gather(self) -> list[Batch]:
        batches = []
        while self._queue:
            batches.append(self._queue.popleft())
        return batches

    def _claimable(self) -> list[tuple[Feed, int]]:
        if self._stopping:
            return []
        wanted = ((feed, feed.demand.slots()) for feed in list(self._feeds.values()) if feed.hungry)
        return [(feed, slots) for feed, slots in wanted if slots > 0]

    def _turn(
        self,
        conn: psycopg.Connection[Any],
        batches: list[Batch],
        feeds: list[tuple[Feed, int]],
    ) -> None:
        try:
            results, claims = self._commit(conn, batches, feeds)
        except Exception as error:
            if server_state(conn, error):
                self._queue.extendleft(reversed(batches))
                raise
            if not batches:
                raise
            if len(batches) == 1 and not feeds and not isinstance(error, TRANSIENT):
                batches[0].answer.fail(error)
            else:
                self._one_by_one(conn, batches)
            return
        deliver(batches, results, claims)

    def _one_by_one(self, conn: psycopg.Connection[Any], batches: list[Batch]) -> None:
        """Commit each batch alone, so that only the guilty one is told of its error."""
        for place, batch in enumerate(batches):
            try:
                results, _ = self._commit(conn, [batch], [])
            except TRANSIENT:
                self._queue.append(batch)
            except Exception as error:
                if server_state(conn, error):
                    self._queue.extendleft(reversed(batches[place:]))
                    raise
                batch.answer.fail(error)
            else:
                batch.answer.done(results)

    def _commit(
        self,
        conn: psycopg.Connection[Any],
        batches: list[Batch],
        feeds: list[tuple[Feed, int]],
    ) -> tuple[list[Applied], list[Claimed]]:
        results, claims = commit(conn, batches, feeds)
        self.counters.commits += 1
        self.counters.operations += len(results)
        self.counters.claimed += sum(len(leases) for _, _, leases in claims)
        return results, claims

    def _sleep(self) -> None:
        """Wait for a submission, a notification, or the next time that something falls due."""
        self._notices.read()
        if self._claimable():
            return
        self._idle = True
        try:
            if not self._queue:
                self._notices.wait(min(self.poll_s, self._next_due - monotonic()))
        finally:
            self._idle = False

    def _heard(self, queue: str, due_in: float | None) -> None:
        """A notice: something of `queue` is ready, or will be due in `due_in` seconds."""
        if due_in is not None:
            self._next_due = min(self._next_due, monotonic() + due_in)
        elif feed := self._feeds.get(queue):
            feed.hungry = True

    def _promote(self, conn: psycopg.Connection[Any]) -> None:
        """Make due tasks ready and poll all queues once."""
        row = conn.execute(statement("promote"), prepare=True).fetchone()
        next_in = row[1] if row and row[1] is not None else self.poll_s
        self._next_due = monotonic() + min(self.poll_s, max(0.001, next_in))
        for feed in list(self._feeds.values()):
            feed.hungry = True

    def _connection(self) -> psycopg.Connection[Any]:
        if self._conn is None or self._conn.closed:
            self._attach(self.connect())
            self.counters.reconnects += 1
            self._reconcile_wanted = True
            self._away = False
            log.info("connected to the database again")
        assert self._conn is not None
        return self._conn

    def _attach(self, conn: psycopg.Connection[Any]) -> None:
        self._conn = conn
        self._notices.attach(conn)
        self._next_due = 0.0

    def _lost(self, error: Exception) -> None:
        """The connection broke: what was submitted stays queued and is committed again."""
        if not self._away:  # told once per outage
            self._away = True
            log.warning("database connection lost (%s); reconnecting", " ".join(str(error).split()))
        if self._conn is not None:
            self._conn.close()
        if not self._stopping:
            sleep(RECONNECT_S)

    def _abandon(self) -> None:
        """Stopping without a database: tell those who wait that nothing was recorded."""
        for batch in self._gather():
            batch.answer.fail(psycopg.OperationalError("the database could not be reached"))
