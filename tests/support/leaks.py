"""Finds what a test has left open in the test process: file descriptors and threads."""

import gc
import threading
import time
from dataclasses import dataclass
from pathlib import Path

#: How long what is closing already may take to be gone.
_GRACE_S = 5.0

# Opened once, by the first who needs them, and kept by the libraries for the whole process.
_KEPT = ("/dev/urandom", "/dev/nvidia", "/dev/null")


@dataclass(frozen=True)
class Holdings:
    """What the process holds at one moment: descriptors with what they are, and threads."""

    descriptors: dict[int, str]
    threads: frozenset[threading.Thread]

    @classmethod
    def now(cls) -> "Holdings":
        """Look at this process."""
        return cls(_descriptors(), frozenset(threading.enumerate()))

    def since(self, before: "Holdings") -> list[str]:
        """Name what has come since `before` and is still there."""
        extra = len(self.descriptors) - len(before.descriptors)
        new = [
            f"descriptor {number} ({target})"
            for number, target in self.descriptors.items()
            if before.descriptors.get(number) != target
        ]
        threads = [f"thread {thread.name!r}" for thread in self.threads - before.threads]
        return (new if extra > 0 else []) + threads


def left_behind(before: Holdings) -> list[str]:
    """Name what has come since `before` and does not go away by itself within some seconds."""
    deadline = time.monotonic() + _GRACE_S
    while left := Holdings.now().since(before):
        gc.collect()
        if time.monotonic() > deadline:
            return left
        time.sleep(0.01)
    return []


def _descriptors() -> dict[int, str]:
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue  # the one that lists the folder
        if not target.startswith(_KEPT):
            found[int(link.name)] = target
    return found
