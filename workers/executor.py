"""Executes one claimed task and decides what is recorded of it.

The outcome is left on the lease; the broker commits it when Dramatiq acknowledges the message.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import psycopg

from lmx.workers.outcome import costs_of, finish, finish_failed, left, unaffordable
from lmx.workers.running import Cancelled, Execution, Running, TimeLimitExceeded
from lmx.workflows import registry
from lmx.workflows.control import cancel
from lmx.workflows.control.deadlines import expire_deadlines
from lmx.workflows.coordinators import Context, Parked
from lmx.workflows.coordinators.history import History, load
from lmx.workflows.coordinators.journal import Port
from lmx.workflows.coordinators.park import LeaseLost, Unreachable
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import LmxError
from lmx.workflows.lease import Lease
from lmx.workflows.operations import ALL_OTHERS, Operation
from lmx.workflows.registry import Function
from lmx.workflows.retries import FINAL, delay_before, describe
from lmx.workflows.submission import encode_input

log = logging.getLogger("lmx.executor")

#: A body for tasks that are no Python functions: takes the execution, returns output and usage.
Body = Callable[[Execution], tuple[Any, dict[str, Any] | None]]

#: A body that only begins: it returns at once, and settles the lease by itself when it is done.
DetachedBody = Callable[[Lease], None]

_REPEAT_DELAY_S: Final = 0.5


@dataclass(slots=True)
class Executor:
    """Runs leases. `bodies` and `detached` map task names to what is no registered function."""

    database: Database
    port: Port
    running: Running
    bodies: Mapping[str, Body] = field(default_factory=dict)
    detached: Mapping[str, DetachedBody] = field(default_factory=dict)

    def execute(self, lease: Lease) -> None:
        """Run a task to its outcome; whatever its code raises becomes part of that outcome."""
        if not lease.affordable:
            lease.outcome = [unaffordable(lease)]
            return
        if lease.deadline is not None and lease.deadline <= lease.now():
            self._expire(lease)
            return
        if begin := self.detached.get(lease.name):
            lease.detached = True
            begin(lease)
            return
        execution: Execution | None = None
        try:
            with self.running.execute(lease) as execution:
                lease.outcome = [self._run(lease, execution)]
        except (Parked, LeaseLost, Cancelled):
            lease.outcome = left(lease)
            lease.settled = not lease.outcome
        except Unreachable:
            lease.outcome = [_repeat(lease)]
        except (Exception, SystemExit, TimeLimitExceeded) as error:
            self.fail(lease, error)
        finally:
            if execution is not None:
                self.running.leave(execution)

    def _run(self, lease: Lease, execution: Execution) -> Operation:
        if body := self.bodies.get(lease.name):
            output, usage = body(execution)
            return _succeeded(lease, output, usage)
        function = registry.get(lease.name)
        call = lease.input or {}
        args, kwargs = call.get("args", ()), call.get("kwargs", {})
        if lease.role == "worker":
            return _succeeded(lease, function.fn(*args, **kwargs))
        context = Context(lease, self._history(lease), self.port)
        output = function.fn(context, *args, **kwargs)
        context.close()
        return _succeeded(lease, output)

    def _history(self, lease: Lease) -> History:
        """What the coordinator has recorded; nothing on its first delivery."""
        if lease.seq == 1:
            return History()
        with self.port.borrow() as conn:
            return load(conn, [lease.task_id])[lease.task_id]

    def _expire(self, lease: Lease) -> None:
        """End what is past its deadline before it begins; else the next heartbeat does."""
        lease.settled = True
        try:
            with self.port.borrow() as conn:
                expire_deadlines(conn)
        except (psycopg.Error, LmxError, Unreachable) as error:
            log.warning("cannot end task %s, which is past its deadline: %s", lease.task_id, error)

    def fail(self, lease: Lease, error: BaseException) -> None:
        """Record that an attempt raised `error`: try again, or end the task."""
        function = registry.find(lease.name)
        told = describe(error)
        attempt = lease.attempts + 1
        if attempt < lease.max_attempts and not isinstance(error, FINAL):
            log.info(
                "task %s (%s) failed attempt %s: %s", lease.task_id, lease.name, attempt, error
            )
            lease.outcome = [*left(lease), _retry(lease, told, _delay(function, attempt))]
            return
        log.warning("task %s (%s) failed: %s", lease.task_id, lease.name, told["message"])
        if lease.role == "coordinator" and not self._cancel_children(lease):
            lease.settled = True
            return
        lease.outcome = [*left(lease), _failed(lease, told)]

    def _cancel_children(self, lease: Lease) -> bool:
        """Cancel what a failed coordinator leaves running. False if the database is away."""
        try:
            with self.port.borrow() as conn:
                history = load(conn, [lease.task_id])[lease.task_id]
            for child in history.children.values():
                if not child.finished:
                    cancel(self.database, child.id)
        except (psycopg.Error, LmxError, Unreachable) as error:
            log.warning("cannot cancel the children of task %s yet: %s", lease.task_id, error)
            return False
        return True


def _delay(function: Function | None, attempt: int) -> float:
    if function is None:
        return delay_before(attempt, 1.0, 300.0)
    return delay_before(attempt, function.backoff, function.max_backoff)


def _succeeded(lease: Lease, output: Any, usage: dict[str, Any] | None = None) -> Operation:
    text = orjson.Fragment(encode_input(output, "the result"))
    done = finish(lease, "succeeded", output=text, usage=usage)
    if lease.budgeted:
        done.costs = costs_of(lease, usage)
    done.closes = lease.budgeted
    return done


def _failed(lease: Lease, error: dict[str, Any], cost: int | None = None) -> Operation:
    """Fail a task; `cost` (None: nobody knows) is what the attempt cost in every unit."""
    failed = finish_failed(lease, error)
    failed.costs = {ALL_OTHERS: cost} if lease.budgeted else None
    failed.closes = lease.budgeted
    return failed


def _repeat(lease: Lease) -> Operation:
    """Run a coordinator again whose wake-up met no database; no attempt of its own has failed."""
    return Operation("retry", lease.task_id, lease.seq, {"delay": _REPEAT_DELAY_S, "tried": 0})


def _retry(lease: Lease, error: dict[str, Any], delay: float) -> Operation:
    again = Operation("retry", lease.task_id, lease.seq, {"delay": delay, "error": error})
    again.costs = {ALL_OTHERS: None} if lease.budgeted else None
    again.event = {"kind": "retry", "data": {"attempt": lease.attempts + 1, **error}}
    return again
