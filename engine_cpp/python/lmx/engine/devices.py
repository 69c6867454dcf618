"""The device an engine would run on, and its memory."""

from __future__ import annotations

from dataclasses import dataclass

from lmx.engine import _core


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """``name`` is "cpu" or such as "cuda:0"; the bytes are what its driver says."""

    name: str
    total_bytes: int
    free_bytes: int


def device_info(device: str = "auto") -> DeviceInfo:
    """What ``device`` stands for on this machine. Raises InvalidRequest for one that is not."""
    name = _core.device_name(device)
    total, free = _core.device_memory(name)
    return DeviceInfo(name, total, free)
