"""The device an engine would run on, its memory, and the cores beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lmx.engine import _core


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """``name`` is "cpu" or such as "cuda:0"; the bytes are what its driver says.

    ``description`` is the product's name. ``pci_bus_id`` is such as "0000:01:00.0": it names the
    device whatever CUDA_VISIBLE_DEVICES makes of its number. None where there is none.
    """

    name: str
    total_bytes: int
    free_bytes: int
    description: str
    pci_bus_id: str | None


def device_info(device: str = "auto") -> DeviceInfo:
    """What ``device`` stands for on this machine. Raises InvalidRequest for one that is not."""
    name = _core.device_name(device)
    total, free = _core.device_memory(name)
    description, pci_bus_id = _core.device_identity(name)
    return DeviceInfo(name, total, free, description, pci_bus_id or None)


def cpu_count() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
