"""The workloads, by name, in the order of the report."""

from __future__ import annotations

from benchmarks.workloads.base import Sample, Workload
from benchmarks.workloads.drain import DRAIN, STEPS_WORKLOAD, TREES
from benchmarks.workloads.enqueue import BATCH, ENQUEUE
from benchmarks.workloads.latency import LATENCY
from benchmarks.workloads.recovery import FAILOVER, RECOVERY

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (ENQUEUE, BATCH, DRAIN, LATENCY, STEPS_WORKLOAD, TREES, RECOVERY, FAILOVER)
}

__all__ = ["WORKLOADS", "Sample", "Workload"]
