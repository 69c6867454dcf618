"""A worker process whose wall clock is wrong by LMX_TEST_CLOCK_SHIFT seconds.

Only what tells the wall clock is moved; the monotonic clock of a real machine stays right, too.
"""

import datetime as real_datetime
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

SHIFT = "LMX_TEST_CLOCK_SHIFT"


def main(arguments: Sequence[str]) -> int:
    """Shift the clock, then be the worker that the arguments name."""
    shift_clock(float(os.environ[SHIFT]))
    from lmx.workers.__main__ import main as worker

    return worker(arguments)


def shift_clock(seconds: float) -> None:
    """Move time.time, time.time_ns and datetime.now of this process."""
    shift = real_datetime.timedelta(seconds=seconds)

    class Shifted(real_datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return real_now(tz) + shift

        @classmethod
        def utcnow(cls) -> Any:
            return real_now(real_datetime.UTC).replace(tzinfo=None) + shift

    real_now: Callable[..., real_datetime.datetime] = real_datetime.datetime.now
    true_time, true_time_ns = time.time, time.time_ns
    time.time = lambda: true_time() + seconds
    time.time_ns = lambda: true_time_ns() + int(seconds * 1e9)
    real_datetime.datetime = Shifted  # type: ignore[misc]
