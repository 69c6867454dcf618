"""What all measurements of a run share: the machine's part in them, and their size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

Clock = Literal["cpu", "wall"]
Ours = TypeVar("Ours")
Theirs = TypeVar("Theirs")


@dataclass(frozen=True)
class Settings:
    """``clock`` is what ratios are judged by.

    "cpu" is the time of a process on all processors: on a machine that does other work as well it
    is what a process costs, however often it had to wait for its turn. With more than one thread,
    threads that wait for each other spin, and only "wall" makes sense.
    """

    threads: int = 1
    clock: Clock = "cpu"
    rounds: int = 5
    tokens: int = 64
    quick: bool = False
    say: Callable[[str], None] = print


@dataclass
class Spent:
    """Seconds of the clock, and of this process on all processors."""

    wall: float = 0.0
    cpu: float = 0.0

    def by(self, clock: Clock) -> float:
        return self.cpu if clock == "cpu" else self.wall


@contextmanager
def timed() -> Iterator[Spent]:
    """What the body took; the value is filled in when the body ends."""
    spent = Spent()
    wall, cpu = time.perf_counter(), time.process_time()
    yield spent
    spent.wall, spent.cpu = time.perf_counter() - wall, time.process_time() - cpu


def interleave(
    rounds: int, ours: Callable[[int], Ours], theirs: Callable[[int], Theirs]
) -> list[tuple[Ours, Theirs]]:
    """Runs both in every round, in turning order, so that a noisy minute hits both alike."""
    pairs = []
    for number in range(rounds):
        if number % 2 == 0:
            first = ours(number)
            pairs.append((first, theirs(number)))
        else:
            second = theirs(number)
            pairs.append((ours(number), second))
    return pairs


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
