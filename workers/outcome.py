"""What becomes of a delivery: the operations that record its end, as pure functions."""

import base64
from collections.abc import Mapping
from math import ceil
from typing import Any, Final

from dramatiq.message import Message

from lmx.workers.delivery import Delivery, TaskDelivery
from lmx.workflows.lease import Lease
from lmx.workflows.money import USD
from lmx.workflows.operations import ALL_OTHERS, Operation, keep
from lmx.workflows.partial import KEPT
from lmx.workflows.retries import describe, storable

INTERRUPTED_DELAY_S: Final = 1.0
#: What a pool is told of a call that was claimed and never sent, and of one whose end nobody knows.
UNSENT: Final = ({"kind": "used", "data": {"real": {}, "heard_after_s": 0.0}},)
LOST: Final = ({"kind": "lost", "data": {}},)


def outcome_of(delivery: Delivery, *, failed: bool) -> list[Operation]:
    """The operations that settle a delivery.

    None if its executor has committed them already, or the lease was lost before it began.
    """
    if delivery.lease.settled:
        return []
    if isinstance(delivery, TaskDelivery):
        return _task_outcome(delivery, failed=failed)
    if delivery.retry is not None:
        end = delivery.retry
        end.fields["error"] = told(delivery)
    elif failed:
        end = finish_failed(delivery.lease, told(delivery))
    else:
        end = finish(delivery.lease, "succeeded")
    return [*delivery.effects, end]


def _task_outcome(delivery: TaskDelivery, *, failed: bool) -> list[Operation]:
    lease = delivery.lease
    if lease.outcome is not None:
        return lease.outcome
    return [_interrupted(lease, told(delivery), failed=failed)]


def _interrupted(lease: Lease, error: dict[str, Any] | None, *, failed: bool) -> Operation:
    """The executor itself failed: the attempt counts, and is repeated while any are left."""
    if failed or lease.attempts + 1 >= lease.max_attempts:
        end = finish_failed(lease, error)
        end.closes = lease.budgeted
    else:
        fields = {"delay": INTERRUPTED_DELAY_S, "error": error}
        end = Operation("retry", lease.task_id, lease.seq, fields)
    end.costs = {ALL_OTHERS: None} if lease.budgeted else None
    return end


def finish(lease: Lease, state: str, **fields: Any) -> Operation:
    """Record that a task has ended in `state`."""
    return Operation(
        "finish", lease.task_id, lease.seq, {"state": state, **fields}, parent_id=lease.parent_id
    )


def costs_of(lease: Lease, usage: Mapping[str, Any] | None) -> dict[str, int | None]:
    """What a successful attempt has cost of each unit; `usage` is that of a model call."""
    told = usage or {}
    return {
        USD: int(told.get("cost", 0)),
        "tokens": told.get("prompt_tokens", 0) + told.get("completion_tokens", 0),
        "calls": 1,
        "seconds": ceil(lease.age()),
        ALL_OTHERS: 0,
    }


def finish_failed(lease: Lease, error: dict[str, Any] | None) -> Operation:
    """Record that a task has failed: it becomes a dead letter."""
    error = error or {"kind": "exception", "type": "Unknown", "message": "rejected without reason"}
    return finish(lease, "failed", error=error)


def left(lease: Lease) -> list[Operation]:
    """What keeps as much of a model's answer as had come by now, if anything had."""
    partial = lease.partial.end(KEPT) if lease.partial else None
    return [keep(lease.task_id, lease.seq, partial, lease.attempts)] if partial else []


def unaffordable(lease: Lease) -> Operation:
    """Record that a task's budget could not hold another attempt, so that there was none."""
    error = {"kind": "budget", "message": "its budget cannot hold what one attempt may cost"}
    end = finish_failed(lease, error)
    end.costs, end.closes = {ALL_OTHERS: 0}, lease.budgeted
    end.news = [*UNSENT]
    return end


def retry(lease: Lease, message: Message[Any], delay_ms: int | None) -> Operation:
    """Put the same task back with a new version of its message, due in `delay_ms`."""
    fields = {"delay": max(0, delay_ms or 0) / 1000, "message": in_base64(message.encode())}
    return Operation("retry", lease.task_id, lease.seq, fields)


def requeue(lease: Lease) -> Operation:
    """Give a task back that was never begun."""
    return unbegun(lease.task_id, lease.seq)


def unbegun(task_id: int, seq: int) -> Operation:
    """Give a leased task back that was never begun."""
    return Operation("requeue", task_id, seq, {"lost": False}, news=[*UNSENT])


def told(delivery: Delivery) -> dict[str, Any] | None:
    """The error column for what the actor raised."""
    exception = delivery.exception
    if exception is None:
        return None
    error = describe(exception)
    if trace := delivery.options.get("traceback"):
        error["traceback"] = storable(str(trace))
    return error


def in_base64(data: bytes) -> str:
    """Bytes as they travel inside the JSON of an operation."""
    return base64.b64encode(data).decode()
