"""Which delivery the current thread works on, and what its hooks send and store meanwhile.

Dramatiq's callbacks, pipelines and group callbacks send messages from hooks that run after the
actor and before the ack. Sent at once, they would be sent again by whoever repeats the actor after
a crash in between; so they are kept with the delivery and commit together with its outcome.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lmx.workers.delivery import Delivery
from lmx.workflows.operations import Operation


class _Current(threading.local):
    delivery: Delivery | None = None


_current = _Current()


@contextmanager
def collecting(delivery: Delivery) -> Iterator[None]:
    """While the block runs, what this thread sends and stores belongs to `delivery`."""
    _current.delivery = delivery
    try:
        yield
    finally:
        _current.delivery = None


def current_delivery() -> Delivery | None:
    """The delivery whose hooks this thread is running, if any."""
    return _current.delivery


def add_effect(delivery: Delivery, kind: str, **fields: object) -> None:
    """Let a write commit together with the delivery's outcome."""
    lease = delivery.lease
    delivery.effects.append(Operation(kind, lease.task_id, lease.seq, dict(fields)))
