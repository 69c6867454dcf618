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

from lmx.workflows import faults
from lmx.workflows.errors import LmxError
from lmx.workflows.lease import Lease
from lmx.workflows.notices import Notices
from lmx.workflows.operations import Applied, Operation, collect, send
from lmx.workflows.sql import statement
from lmx.workflows.ticket import Ticket

log = logging.getLogger("lmx.commit")

POLL_S: Final = 1.0
RECONNECT_S: Final = 0.2
# SQLSTATE classes that tell of the server's state and not of the statement: connection lost, no
# resources, operator intervention, system error. What was submitted is committed again later.
_SERVER_STATE: Final = ("08", "53", "57", "58")
_TRANSIENT: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


class Answer(Protocol):
    """Is told once, by the committing thread, what became of operations. A `Ticket` is one."""

    def done(self, value: list[Applied]) -> None:
        """The operations have committed; one per operation tells whether it was accepted."""

    def fail(self, error: BaseException) -> None:
        """The operations could not be committed, and will not be."""


class Connector(Protocol):
    """Opens the autocommit connection that the thread writes and listens on."""

    def __call__(self) -> psycopg.Connection[Any]: ...


class Demand(Protocol):
    """A consumer of one queue: says how many tasks it could take, and takes them."""

    queue: str

    def slots(self) -> int:
        """How many more tasks this consumer can hold now."""

    def claim(self, conn: psycopg.Connection[Any], slots: int) -> Callable[[], list[Lease]]:
        """Send the claim of up to `slots` tasks inside the running transaction.

        The connection is in pipeline mode; the function returned reads the leases after it.
        """

    def take(self, leases: list[Lease]) -> None:
        """Receive leases whose claim has committed."""


@dataclass(slots=True)
class _Batch:
    operations: Sequence[Operation]
    answer: Answer


@dataclass(slots=True)
class _Feed:
    """One consumer and whether its queue may hold something for it."""

    demand: Demand
    hungry: bool = True


@dataclass(slots=True)
class Counters:
    """What the thread has done so far; benchmarks and tests read it."""

    commits: int = 0
    operations: int = 0
    claimed: int = 0
    reconnects: int = 0


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
    _queue: deque[_Batch] = field(default_factory=deque)
    _feeds: dict[str, _Feed] = field(default_factory=dict)
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
        self._queue.append(_Batch(operations, answer))
        if self._idle:
            self.wake()

    def add(self, demand: Demand) -> None:
        """Feed a consumer from its queue from now on."""
        self._feeds[demand.queue] = _Feed(demand)
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

    def _gather(self) -> list[_Batch]:
        batches = []
        while self._queue:
            batches.append(self._queue.popleft())
        return batches

    def _claimable(self) -> list[tuple[_Feed, int]]:
        if self._stopping:
            return []
        wanted = ((feed, feed.demand.slots()) for feed in list(self._feeds.values()) if feed.hungry)
        return [(feed, slots) for feed, slots in wanted if slots > 0]

    def _turn(
        self,
        conn: psycopg.Connection[Any],
        batches: list[_Batch],
        feeds: list[tuple[_Feed, int]],
    ) -> None:
        try:
            results, claims = self._commit(conn, batches, feeds)
        except Exception as error:
            if _server_state(conn, error):
                self._queue.extendleft(reversed(batches))
                raise
            if not batches:
                raise
            if len(batches) == 1 and not feeds and not isinstance(error, _TRANSIENT):
                batches[0].answer.fail(error)
            else:
                self._one_by_one(conn, batches)
            return
        self._deliver(batches, results, claims)

    def _one_by_one(self, conn: psycopg.Connection[Any], batches: list[_Batch]) -> None:
        """Commit each batch alone, so that only the guilty one is told of its error."""
        for place, batch in enumerate(batches):
            try:
                results, _ = self._commit(conn, [batch], [])
            except _TRANSIENT:
                self._queue.append(batch)
            except Exception as error:
                if _server_state(conn, error):
                    self._queue.extendleft(reversed(batches[place:]))
                    raise
                batch.answer.fail(error)
            else:
                batch.answer.done(results)

    def _commit(
        self,
        conn: psycopg.Connection[Any],
        batches: list[_Batch],
        feeds: list[tuple[_Feed, int]],
    ) -> tuple[list[Applied], list[tuple[_Feed, int, list[Lease]]]]:
        operations = [op for batch in batches for op in batch.operations]
        kinds = {op.kind for op in operations} | ({"claim"} if feeds else set())
        faults.points(kinds, "before")
        try:
            with conn.pipeline():
                conn.execute("BEGIN")
                cursors = send(conn, operations)
                claims = [(feed, slots, feed.demand.claim(conn, slots)) for feed, slots in feeds]
                conn.execute("COMMIT")
        except BaseException:
            if not conn.closed:
                conn.rollback()
            raise
        faults.points(kinds, "after")
        self.counters.commits += 1
        self.counters.operations += len(operations)
        leases = [(feed, slots, read()) for feed, slots, read in claims]
        return collect(cursors, operations), leases

    def _deliver(
        self,
        batches: list[_Batch],
        results: list[Applied],
        claims: list[tuple[_Feed, int, list[Lease]]],
    ) -> None:
        for feed, slots, leases in claims:
            feed.hungry = len(leases) >= slots
            self.counters.claimed += len(leases)
            if leases:
                feed.demand.take(leases)
        start = 0
        for batch in batches:
            end = start + len(batch.operations)
            batch.answer.done(results[start:end])
            start = end

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


def _server_state(conn: psycopg.Connection[Any], error: Exception) -> bool:
    """Whether the server failed and not the statement, so that a later try may succeed."""
    if conn.closed:
        return True
    state = getattr(error, "sqlstate", None)
    if isinstance(error, psycopg.OperationalError) and state is None:
        return True
    return isinstance(error, psycopg.Error) and str(state)[:2] in _SERVER_STATE
