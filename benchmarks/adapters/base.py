"""What a system must offer to be measured: one small class per system, in a file of its own.

An adapter runs in two kinds of process: a client, which installs the schema and enqueues, and a
worker, which runs bodies in `SLOTS` slots until SIGTERM. It imports its system inside its methods,
so that listing systems needs none of them installed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import ClassVar

from benchmarks.stamps import Stamps

SLOTS = 16
STEPS = 10
CHILDREN = 16
BATCH = 500
HANG_S = 3600.0
_FIRST_CHILD_SLOT = 1000

QUEUE_WORKLOADS = frozenset({"enqueue", "batch", "drain", "latency", "recovery"})
DURABLE_WORKLOADS = QUEUE_WORKLOADS | {"steps", "trees"}


def child_slot(parent: int, child: int) -> int:
    """The stamp slot of a parent's child; parents use the slots below."""
    return _FIRST_CHILD_SLOT + parent * CHILDREN + child


class Adapter:
    """One system under test.

    `settings` is one of the class's `variants`. "tuned" takes what the system's documentation
    offers for speed; "defaults", the last of them, leaves everything that need not be told.
    """

    variants: ClassVar[tuple[str, ...]] = ("tuned", "defaults")

    workloads: ClassVar[frozenset[str]] = QUEUE_WORKLOADS
    unfinished_sql: ClassVar[str]
    """A SELECT of the number of tasks not recorded as done; a failed task never counts as done."""

    def __init__(self, dsn: str, stamps: Stamps, settings: str) -> None:
        self.dsn = dsn
        self.stamps = stamps
        self.settings = settings

    @property
    def tuned(self) -> bool:
        """Whether to use other settings than the defaults."""
        return self.settings != "defaults"

    def install(self) -> None:
        """Create the system's schema in an empty database."""
        raise NotImplementedError

    def open(self) -> None:
        """Connect the client; not part of any measured time."""
        raise NotImplementedError

    def close(self) -> None:
        """Disconnect the client."""
        raise NotImplementedError

    def enqueue(self, kind: str, number: int) -> None:
        """Enqueue one task of a kind (noop, hold, steps, tree) and return when it is committed."""
        raise NotImplementedError

    def enqueue_batch(self, kind: str, numbers: Iterable[int]) -> None:
        """Enqueue several tasks in the largest unit the system offers; default: one by one."""
        for number in numbers:
            self.enqueue(kind, number)

    def run_worker(self) -> None:
        """Run bodies in `SLOTS` slots until SIGTERM."""
        raise NotImplementedError

    # The bodies. Coroutine-based systems call `hold_begins` and then wait in their own way.

    def noop(self, number: int) -> None:
        """The empty body: leaves its time."""
        self.stamps.hit(number)

    def hold_begins(self, number: int) -> bool:
        """Note a start of a body that hangs when it first runs; True when it should hang."""
        first = self.stamps.get(number) == 0
        self.stamps.hit(number if first else SLOTS + number)
        return first

    def hold(self, number: int) -> None:
        """Hang when run for the first time, return when run again."""
        if self.hold_begins(number):
            time.sleep(HANG_S)
