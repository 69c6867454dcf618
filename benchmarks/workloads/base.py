"""What a workload is: a function of a trial and a size, giving a sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.trial import Trial


@dataclass(frozen=True)
class Sample:
    """What one round measured, by the name of the measure; `cpu` is worker seconds per unit."""

    values: dict[str, float]
    cpu: float | None = None


@dataclass(frozen=True)
class Workload:
    """A workload: its measure, how it is prepared (not measured) and run, and at which sizes.

    `unit` is what is counted, for which commits and round trips are also given; `size` the number
    of units in a timed round, `counted` in a counting round (None: counts make no sense).
    `defaults_only` is for what tuning for speed does not touch.
    """

    name: str
    title: str
    measures: tuple[str, ...]
    unit: str
    prepare: Callable[[Trial, int], None]
    run: Callable[[Trial, int], Sample]
    size: int
    counted: int | None
    per_task: int = 1
    higher_is_better: bool = True
    repeat: bool = True
    defaults_only: bool = False


def nothing_to_prepare(_trial: Trial, _size: int) -> None:
    """For workloads that start with an empty database."""
