"""One turn of the group commit: operations and claims in one transaction, then their answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import psycopg

from lmx.workflows import faults
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Applied, Operation, collect, send

# SQLSTATE classes that tell of the server's state and not of the statement: connection lost, no
# resources, operator intervention, system error. What was submitted is committed again later.
_SERVER_STATE: Final = ("08", "53", "57", "58")
TRANSIENT: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


class Answer(Protocol):
    """Is told once, by the committing thread, what became of operations. A `Ticket` is one."""

    def done(self, value: list[Applied]) -> None:
        """The operations have committed; one per operation tells whether it was accepted."""

    def fail(self, error: BaseException) -> None:
        """The operations could not be committed, and will not be."""


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
class Batch:
    """Operations that commit together, and who is to be told of it."""

    operations: Sequence[Operation]
    answer: Answer


@dataclass(slots=True)
class Feed:
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


#: A consumer, how many tasks it could take, and those that it was given.
Claimed = tuple[Feed, int, list[Lease]]


def commit(
    conn: psycopg.Connection[Any], batches: Sequence[Batch], feeds: Sequence[tuple[Feed, int]]
) -> tuple[list[Applied], list[Claimed]]:
    """Commit operations, and claim up to so many tasks for each feed, in one round trip."""
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
    leases = [(feed, slots, read()) for feed, slots, read in claims]
    return collect(cursors, operations), leases


def deliver(
    batches: Sequence[Batch], results: Sequence[Applied], claims: Sequence[Claimed]
) -> None:
    """Hand out what has committed: leases to consumers, results to those who wait."""
    for feed, slots, leases in claims:
        feed.hungry = len(leases) >= slots
        if leases:
            feed.demand.take(leases)
    start = 0
    for batch in batches:
        end = start + len(batch.operations)
        batch.answer.done(list(results[start:end]))
        start = end


def server_state(conn: psycopg.Connection[Any], error: Exception) -> bool:
    """Whether the server failed and not the statement, so that a later try may succeed."""
    if conn.closed:
        return True
    state = getattr(error, "sqlstate", None)
    if isinstance(error, psycopg.OperationalError) and state is None:
        return True
    return isinstance(error, psycopg.Error) and str(state)[:2] in _SERVER_STATE
