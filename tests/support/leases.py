"""Leases that no claim has given: for what is decided without a database."""

from dataclasses import replace
from typing import Any

from lmx.workflows.lease import Lease


def lease_of(task_id: int, **fields: Any) -> Lease:
    """The first lease of a worker function's task; `fields` are what differs."""
    plain = Lease(
        task_id=task_id,
        seq=1,
        root_id=task_id,
        parent_id=None,
        role="worker",
        name="call",
        queue="work",
        key=None,
        nesting=0,
        priority=0,
        deliveries=1,
        attempts=0,
        max_attempts=4,
        time_limit_ms=None,
        deadline=None,
        claimed_at=0.0,
        budgeted=False,
        affordable=True,
        message=None,
        raw_input=None,
    )
    return replace(plain, **fields)
