"""The leases of one queue that a process holds, from their claim to their commit."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

import psycopg

from lmx.workers.window import Window
from lmx.workflows.lease import Lease
from lmx.workflows.sql import statement
from lmx.workflows.sweep import MAX_DELIVERIES


class Intake:
    """Claims tasks of one queue up to `prefetch` held at a time, and buffers them.

    The committer's thread fills it, one consumer thread empties it. A lease counts as held from
    its claim until its outcome is submitted, and as known until that outcome has committed.

    A task on its last delivery may be what has killed its workers, or may only have stood beside
    it. Such a suspect runs alone, and nothing else begins before its outcome has committed, so
    that it can take no other task with it. Further suspects go back to the queue meanwhile:
    the end of this process must not count against what it never began.
    """

    def __init__(self, queue: str, prefetch: int, worker_id: Callable[[], int]) -> None:
        self.queue = queue
        self.prefetch = prefetch
        self.runs_tasks = False
        self.runs_messages = True
        self.last_delivery = MAX_DELIVERIES
        self.window = Window(floor=prefetch, ceiling=prefetch)
        self._worker_id = worker_id
        self.open = True
        self._buffer: SimpleQueue[Lease] = SimpleQueue()
        self._held: dict[int, Lease] = {}
        self._settling: dict[int, Lease] = {}
        self.give_back: Callable[[Lease], None] = self.settled
        self._suspect: Lease | None = None
        self._suspect_waits = False
        self._releasing = Lock()

    def slots(self) -> int:
        """How many more tasks may be claimed now."""
        if not self.open or self._suspect is not None:
            return 0
        return self.window.size() - len(self._held)

    def claim(self, conn: psycopg.Connection[Any], slots: int) -> Callable[[], list[Lease]]:
        """Send the claim; the function returned reads its leases."""
        return self._lease(
            conn,
            "claim",
            slots=slots,
            tasks=self.runs_tasks,
            messages=self.runs_messages,
        )

    def _claim_chosen(
        self, conn: psycopg.Connection[Any], task_ids: Sequence[int]
    ) -> Callable[[], list[Lease]]:
        """Send the claim of these tasks, which somebody has chosen and locked."""
        return self._lease(conn, "claim_chosen", chosen=list(task_ids))

    def _lease(
        self, conn: psycopg.Connection[Any], name: str, **given: Any
    ) -> Callable[[], list[Lease]]:
        given |= {"queue": self.queue, "worker": self._worker_id()}
        cursor = conn.execute(statement(name), given, prepare=True)
        return lambda: [Lease.from_row(row) for row in cursor.fetchall()]

    def take(self, leases: list[Lease]) -> None:
        """Buffer leases whose claim has committed."""
        for lease in leases:
            self._held[lease.task_id] = lease
            if lease.deliveries < self.last_delivery:
                self._buffer.put(lease)
            elif self._suspect is None:
                self._suspect, self._suspect_waits = lease, True
            else:
                self.give_back(lease)
        self._release_suspect()

    def next(self, timeout: float) -> Lease | None:
        """The next lease, or None if none comes within `timeout` seconds."""
        try:
            return self._buffer.get(timeout=timeout)
        except Empty:
            return None

    def settle(self, lease: Lease) -> None:
        """Free the lease's slot: its outcome is about to be submitted, or has committed.

        A parked task may be leased anew, here too, before the thread that parked it has got here:
        then the newer lease stays.
        """
        self._settling[lease.task_id] = lease
        if self.holds(lease):
            self._held.pop(lease.task_id, None)
        self.window.finished()

    def settled(self, lease: Lease) -> None:
        """Forget a lease whose outcome has committed or was refused."""
        if self._settling.get(lease.task_id) is lease:
            self._settling.pop(lease.task_id, None)
        if lease is self._suspect:
            self._suspect = None
        self._release_suspect()

    def close(self) -> None:
        """Claim no more."""
        self.open = False

    def over(self) -> bool:
        """Whether the intake is closed and answers for nothing any more."""
        return not self.open and not self.known()

    def drain(self) -> Iterator[Lease]:
        """Take out what is buffered and was never handed to anybody."""
        with self._releasing:
            waits, self._suspect_waits = self._suspect_waits, False
        if waits and self._suspect is not None:
            yield self._suspect
        while (lease := self.next(0)) is not None:
            yield lease

    def holds(self, lease: Lease) -> bool:
        """Whether the lease is still this process's, as far as the process knows."""
        return self._held.get(lease.task_id) is lease

    def revoke(self, task_ids: Iterable[int]) -> None:
        """Let tasks that were cancelled before they began be skipped."""
        for task_id in task_ids:
            lease = self._held.pop(task_id, None)
            if lease is not None and lease is self._suspect:
                self._suspect, self._suspect_waits = None, False
        self._release_suspect()

    def forget(self) -> None:
        """Drop everything: others have declared this worker dead and taken its leases."""
        for _ in self.drain():
            pass
        self._held.clear()
        self._suspect = None

    def _release_suspect(self) -> None:
        """Let the suspect run once nothing else does."""
        if not self._suspect_waits:
            return
        with self._releasing:
            suspect = self._suspect
            others = [*list(self._held.values()), *list(self._settling.values())]
            if self._suspect_waits and suspect and all(one is suspect for one in others):
                self._suspect_waits = False
                self._buffer.put(suspect)

    def known(self) -> list[int]:
        """The ids of all tasks whose leases this intake answers for."""
        return [*list(self._held), *list(self._settling)]


#: Makes the intake of a queue: its name, how many leases it may hold, who they belong to.
IntakeFactory = Callable[[str, int, Callable[[], int]], Intake]
