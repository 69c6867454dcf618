"""The provider's clock: starts at a given time and runs `speed` times as fast as ours."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic, time


@dataclass(frozen=True, slots=True)
class Clock:
    """`origin` is in seconds since the epoch; by default the clock shows the real time at first."""

    speed: float = 1.0
    origin: float = field(default_factory=time)
    _began: float = field(default_factory=monotonic)

    def now(self) -> float:
        """The provider's time, in seconds since the epoch."""
        return self.origin + (monotonic() - self._began) * self.speed

    async def sleep(self, seconds: float) -> None:
        """Sleep for so long by this clock."""
        await asyncio.sleep(max(0.0, seconds) / self.speed)

    async def sleep_until(self, time: float) -> None:
        """Sleep until this clock shows `time`."""
        await self.sleep(time - self.now())
