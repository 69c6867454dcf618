"""Times at which task bodies started, shared between processes through a mapped file.

A body writes one slot (about a microsecond), so that the harness sees when each task ran without
asking the database or the system under test. The clock is CLOCK_MONOTONIC, which all processes of a
host share.
"""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

_SLOT = struct.Struct("=q")


class Stamps:
    """An array of nanosecond timestamps in a file; zero means "not yet"."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    @classmethod
    def create(cls, path: Path, slots: int) -> Stamps:
        """Make a file of `slots` empty slots and map it."""
        path.write_bytes(bytes(_SLOT.size * slots))
        return cls(path)

    def hit(self, slot: int) -> None:
        """Write the time now into a slot."""
        _SLOT.pack_into(self._map, _SLOT.size * slot, time.monotonic_ns())

    def get(self, slot: int) -> int:
        """The time in a slot, in nanoseconds; zero when it was not hit."""
        return int(_SLOT.unpack_from(self._map, _SLOT.size * slot)[0])

    def all(self, slots: range) -> list[int]:
        """The times in several slots."""
        return [self.get(slot) for slot in slots]

    def wait_any(self, slots: range, timeout_s: float, poll_s: float = 0.001) -> bool:
        """Wait until at least one slot is hit; False when `timeout_s` passes first."""
        deadline = time.monotonic() + timeout_s
        start, stop = _SLOT.size * slots.start, _SLOT.size * slots.stop
        while not self._map[start:stop].strip(b"\0"):
            if time.monotonic() > deadline:
                return False
            time.sleep(poll_s)
        return True

    def wait(self, slots: range, timeout_s: float, poll_s: float = 0.001) -> bool:
        """Wait until every slot is hit; False when `timeout_s` passes first."""
        deadline = time.monotonic() + timeout_s
        for slot in slots:
            while not self.get(slot):
                if time.monotonic() > deadline:
                    return False
                time.sleep(poll_s)
        return True
