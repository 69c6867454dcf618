"""What a running worker function may know and say about its own task."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from lmx.workflows.errors import LmxError
from lmx.workflows.lease import Lease
from lmx.workflows.partial import PARTIAL, SHOWN


@dataclass(slots=True)
class CurrentTask:
    """The task that this thread executes. `progress` is what it last said of itself."""

    lease: Lease
    progress: dict[str, Any] | None = field(default=None)

    @property
    def task_id(self) -> int:
        """The task's id."""
        return self.lease.task_id

    @property
    def run_id(self) -> int:
        """The id of the run that the task belongs to."""
        return self.lease.root_id

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self.lease.attempts + 1

    def report(self, **progress: Any) -> None:
        """Show progress, such as `report(done=3, of=10)`, to whoever looks at the task."""
        self.progress = progress

    def shown(self) -> dict[str, Any]:
        """What there is to see of it: its progress, and the end of a model's answer so far."""
        partial = self.lease.partial.end(SHOWN) if self.lease.partial else None
        return {**(self.progress or {}), **({PARTIAL: partial} if partial else {})}


_current: ContextVar[CurrentTask] = ContextVar("lmx_current_task")


def current_task() -> CurrentTask:
    """The task that the calling worker function runs for. Raises LmxError outside of one."""
    try:
        return _current.get()
    except LookupError:
        raise LmxError("no task is running in this thread") from None


def set_current(task: CurrentTask) -> None:
    """Make `task` the one that `current_task` returns in this thread."""
    _current.set(task)
