"""A lease: one claimed task, as its worker holds it."""

from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import orjson

from lmx.workflows.operations import Operation
from lmx.workflows.partial import Partial


@dataclass(slots=True)
class Lease:
    """A claimed task. (`task_id`, `seq`) is the token that fences everything its holder writes.

    `claimed_at` and `deadline` are the database's clock, in seconds since the epoch; `taken` is
    this process's monotonic clock at the claim, so that `now()` tells the database's time without
    trusting the host's wall clock. `affordable` is false when the budget cannot hold the attempt.
    `outcome` is what its execution wants committed at the acknowledgement; `settled` says that it
    has been committed already, or does not count any more; `detached` that its execution goes on
    after its thread is done with it, and settles it by itself. `partial` is what has come of the
    answer of a model call.
    """

    task_id: int
    seq: int
    root_id: int
    parent_id: int | None
    role: str
    name: str
    queue: str
    key: str | None
    nesting: int
    priority: int
    deliveries: int
    attempts: int
    max_attempts: int
    time_limit_ms: int | None
    deadline: float | None
    claimed_at: float
    budgeted: bool
    affordable: bool
    message: bytes | None
    raw_input: str | None
    taken: float = field(default_factory=monotonic)
    outcome: list[Operation] | None = None
    settled: bool = False
    detached: bool = False
    partial: Partial | None = None

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> "Lease":
        """Build a lease from a row of claim.sql."""
        return cls(*row)

    @property
    def input(self) -> Any:
        """The task's input, decoded from JSON."""
        return None if self.raw_input is None else orjson.loads(self.raw_input)

    @property
    def token(self) -> tuple[int, int]:
        """The fencing token: task id and lease sequence number."""
        return self.task_id, self.seq

    def seconds_left(self) -> float | None:
        """Seconds until the deadline, never none at all; None where there is no deadline."""
        return None if self.deadline is None else max(0.001, self.deadline - self.now())

    def age(self) -> float:
        """Seconds since the claim, as far as this process can tell."""
        return monotonic() - self.taken

    def now(self) -> float:
        """The database's time, in seconds since the epoch, as far as this process can tell."""
        return self.claimed_at + self.age()
