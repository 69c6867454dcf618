"""The durable core of lmx: runs, tasks, coordinators, budgets, all as rows in Postgres.

from lmx.workflows import Client, Context, coordinator, worker
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmx.workflows.client import Client
    from lmx.workflows.coordinators import Child, ChildFailed, Context
    from lmx.workflows.current import current_task
    from lmx.workflows.registry import coordinator, worker

# Resolved at first use, so that a command that needs one module does not load them all.
_PLACES = {
    "Child": "coordinators",
    "ChildFailed": "coordinators",
    "Client": "client",
    "Context": "coordinators",
    "coordinator": "registry",
    "current_task": "current",
    "worker": "registry",
}

__all__ = [
    "Child",
    "ChildFailed",
    "Client",
    "Context",
    "coordinator",
    "current_task",
    "worker",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{place}"), name)
