"""Durable coordinators: functions that spawn, wait and survive crashes."""

from lmx.workflows.coordinator.context import Context
from lmx.workflows.coordinator.handles import Child, ChildFailed
from lmx.workflows.coordinator.park import Parked

__all__ = ["Child", "ChildFailed", "Context", "Parked"]
