"""Drain: tasks queued beforehand, run by one worker process, until all are recorded as done.

The clock starts with the first body, so a worker's start-up is not measured, and stops when the
system's own tables say that nothing is left, so acknowledgements are.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.adapters.base import CHILDREN, STEPS, child_slot
from benchmarks.trial import Trial
from benchmarks.workloads.base import Sample, Workload

_NANO = 1e9


def _queue(kind: str) -> Callable[[Trial, int], None]:
    def prepare(trial: Trial, size: int) -> None:
        trial.client("batch", kind, "0", str(size))

    return prepare


def _drain(trial: Trial, bodies: list[range], units: int) -> Sample:
    worker = trial.start_worker()
    first = bodies[0]
    trial.wait_for_first_body(first)
    start_cpu = sum(worker.cpu_times()[:2])
    for slots in bodies:
        trial.wait_for_bodies(slots)
    end = trial.wait_until_recorded()
    cpu = sum(worker.cpu_times()[:2]) - start_cpu
    start = min(trial.stamps.all(first)) / _NANO
    return Sample({"per_second": units / (end - start)}, cpu / units)


def _noops(trial: Trial, size: int) -> Sample:
    return _drain(trial, [range(size)], size)


def _steps(trial: Trial, size: int) -> Sample:
    return _drain(trial, [range(size)], size * STEPS)


def _trees(trial: Trial, size: int) -> Sample:
    children = range(child_slot(0, 0), child_slot(size - 1, CHILDREN - 1) + 1)
    return _drain(trial, [range(size), children], size)


DRAIN = Workload(
    name="drain",
    title="drain queued no-op tasks",
    measures=("per_second",),
    unit="task",
    prepare=_queue("noop"),
    run=_noops,
    size=5000,
    counted=2000,
)
STEPS_WORKLOAD = Workload(
    name="steps",
    title=f"{STEPS} checkpointed steps per run",
    measures=("per_second",),
    unit="step",
    prepare=_queue("steps"),
    run=_steps,
    size=300,
    counted=100,
    per_task=STEPS,
)
TREES = Workload(
    name="trees",
    title=f"trees of {CHILDREN} children, gathered",
    measures=("per_second",),
    unit="tree",
    prepare=_queue("tree"),
    run=_trees,
    size=50,
    counted=25,
)
