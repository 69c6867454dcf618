"""Enqueue: one client, one by one or in batches; no worker runs."""

from __future__ import annotations

from benchmarks.trial import Trial
from benchmarks.workloads.base import Sample, Workload, nothing_to_prepare


def _one_by_one(trial: Trial, size: int) -> Sample:
    spent = trial.client("enqueue", "noop", "0", str(size))
    return Sample({"per_second": size / spent["seconds"]}, spent["cpu"] / size)


def _in_batches(trial: Trial, size: int) -> Sample:
    spent = trial.client("batch", "noop", "0", str(size))
    return Sample({"per_second": size / spent["seconds"]}, spent["cpu"] / size)


ENQUEUE = Workload(
    name="enqueue",
    title="enqueue, one by one",
    measures=("per_second",),
    unit="task",
    prepare=nothing_to_prepare,
    run=_one_by_one,
    size=2000,
    counted=500,
)
BATCH = Workload(
    name="batch",
    title="enqueue, batches of 500",
    measures=("per_second",),
    unit="task",
    prepare=nothing_to_prepare,
    run=_in_batches,
    size=10_000,
    counted=5000,
)
