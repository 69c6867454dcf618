"""Durable coordinators: functions that spawn, wait and survive crashes."""

from lmx.workflows.coordinators.context import Context
from lmx.workflows.coordinators.handles import Child, ChildFailed
from lmx.workflows.coordinators.park import Parked

__all__ = ["Child", "ChildFailed", "Context", "Parked"]
