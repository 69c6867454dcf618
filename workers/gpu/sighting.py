"""Turns a look at a GPU's processes into what an engine is told of them."""

from collections.abc import Iterable, Mapping

import psutil

from lmx.workers.gpu.nvml import Reading
from lmx.workflows.holds import Hold
from lmx.workflows.host import identity

#: Bytes of this process, and others by name, bytes and the hold that they run under.
Sighting = tuple[int | None, list[tuple[str, int, str]] | None]


def sighting(reading: Reading | None, holds: Iterable[Hold], booked: int) -> Sighting:
    """What the engine may believe of a reading; `booked` is what the engine has booked itself.

    A list of processes without our own, though we hold bytes, is of another pid namespace (a
    container): it names nobody here. One without bytes cannot say what belongs to a hold.
    """
    if reading is None or reading.others is None:
        return None, None
    foreign_pids = reading.own is None and booked > 0
    if foreign_pids or any(process.bytes is None for process in reading.others):
        return reading.own, None
    host = identity().host
    wrappers = {hold.pid: hold.holder for hold in holds if hold.granted and hold.host == host}
    return reading.own, [
        (process.label, process.bytes or 0, _hold_over(process.pid, wrappers))
        for process in reading.others
    ]


def _hold_over(pid: int, wrappers: Mapping[int, str]) -> str:
    """The hold that a process runs under: that of an ancestor."""
    if not wrappers:
        return ""
    try:
        above = [pid, *(parent.pid for parent in psutil.Process(pid).parents())]
    except psutil.Error:
        return ""
    return next((wrappers[one] for one in above if one in wrappers), "")
