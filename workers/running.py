"""The tasks that this process executes right now: how to stop one, and what it says of itself."""

import contextlib
import ctypes
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from time import monotonic

from dramatiq.threading import Interrupt, raise_thread_exception

from lmx.workflows.current import CurrentTask, set_current
from lmx.workflows.lease import Lease

log = logging.getLogger("lmx.running")


class Cancelled(Interrupt):
    """Raised inside a task that was cancelled, or that passed to another worker."""


class TimeLimitExceeded(Interrupt):
    """Raised inside a task whose attempt has used up its time."""


@dataclass(slots=True)
class Execution:
    """One task being executed by one thread.

    `stop` ends it (default: raise in its thread, which takes effect between two bytecodes);
    `reason` is why it was stopped.
    """

    task: CurrentTask
    thread: int
    until: float | None
    stop: Callable[[type[Interrupt]], None] | None = None
    reason: type[Interrupt] | None = None

    @property
    def stopped(self) -> bool:
        """Whether somebody has stopped it."""
        return self.reason is not None


@dataclass(slots=True)
class Running:
    """All executions of this process. Thread-safe."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _executions: dict[int, Execution] = field(default_factory=dict)

    @contextlib.contextmanager
    def execute(self, lease: Lease) -> Iterator[Execution]:
        """Enter a task; inside the block it can be stopped, after it no more."""
        execution = self.enter(lease)
        set_current(execution.task)
        try:
            yield execution
        finally:
            self.leave(execution)

    def enter(
        self, lease: Lease, stop: Callable[[type[Interrupt]], None] | None = None
    ) -> Execution:
        """Begin an execution that can be stopped until it leaves."""
        limit = lease.time_limit_ms
        execution = Execution(
            CurrentTask(lease),
            threading.get_ident(),
            None if limit is None else lease.taken + limit / 1000,
            stop,
        )
        with self._lock:
            self._executions[lease.task_id] = execution
        return execution

    def leave(self, execution: Execution) -> None:
        """End an execution; an interrupt of it that has not arrived yet is withdrawn."""
        with self._lock:
            self._executions.pop(execution.task.task_id, None)
            if execution.stopped and execution.stop is None:
                _withdraw(execution.thread)

    def cancel(self, task_ids: Iterable[int]) -> list[int]:
        """Stop those of the tasks that run here; return the others."""
        others = []
        with self._lock:
            for task_id in task_ids:
                if execution := self._executions.get(task_id):
                    self._stop(execution, Cancelled)
                else:
                    others.append(task_id)
        return others

    def cancel_all(self) -> None:
        """Stop all tasks: their leases are void."""
        self.cancel(list(self._executions))

    def enforce_limits(self) -> None:
        """Stop the tasks whose time is up."""
        now = monotonic()
        with self._lock:
            for execution in self._executions.values():
                if execution.until is not None and execution.until <= now:
                    self._stop(execution, TimeLimitExceeded)

    def next_limit(self) -> float | None:
        """When the next task's time is up, on the monotonic clock."""
        with self._lock:
            limits = [e.until for e in self._executions.values() if e.until and not e.stopped]
        return min(limits, default=None)

    def progress(self) -> list[CurrentTask]:
        """The tasks that have reported progress."""
        with self._lock:
            return [e.task for e in self._executions.values() if e.task.progress is not None]

    def _stop(self, execution: Execution, reason: type[Interrupt]) -> None:
        if execution.stopped:
            return
        execution.reason = reason
        log.info("stopping task %s: %s", execution.task.task_id, reason.__name__)
        if execution.stop is not None:
            execution.stop(reason)
        else:
            raise_thread_exception(execution.thread, reason)


def _withdraw(thread: int) -> None:
    """Clear the pending asynchronous exception of a thread (CPython's documented NULL call)."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)
