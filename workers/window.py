"""How many leases a process should hold: enough never to run dry, no more than it soon finishes."""

from collections.abc import Callable
from time import monotonic
from typing import Final

#: Tasks are fetched ahead for this long, several times what a group commit takes.
HORIZON_S: Final = 0.02
_SAMPLE_S: Final = 0.005


class Window:
    """Between `floor` and `ceiling` leases, `floor` plus what is finished in `HORIZON_S`.

    So a process that runs long tasks leaves those it cannot begin to others, and one that runs
    short ones does not wait for every commit. `finished` may be called by any thread.
    """

    def __init__(self, floor: int, ceiling: int, clock: Callable[[], float] = monotonic) -> None:
        self._floor = min(floor, ceiling)
        self._ceiling = ceiling
        self._clock = clock
        self._count = 0
        self._since = clock()
        self._size = self._floor

    def finished(self) -> None:
        """Count one finished task."""
        self._count += 1

    def size(self) -> int:
        """How many leases to hold now."""
        passed = self._clock() - self._since
        if passed >= _SAMPLE_S:
            ahead = int(self._count / passed * HORIZON_S)
            self._count = 0
            self._since += passed
            # Falls slowly: a short pause between two batches is not the end of the rush.
            self._size = max(
                min(self._floor + ahead, self._ceiling), (self._size + self._floor) // 2
            )
        return self._size
