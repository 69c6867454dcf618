"""Dispatch latency: from the call of enqueue to the start of the body in an idle worker."""

from __future__ import annotations

from benchmarks.trial import Trial
from benchmarks.workloads.base import Sample, Workload, nothing_to_prepare

_MILLI = 1e6


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _latency(trial: Trial, size: int) -> Sample:
    trial.start_worker()
    trial.client("latency", "0", str(size))
    trial.wait_for_bodies(range(size))
    started = trial.stamps.all(range(size))
    asked = trial.stamps.all(range(size, 2 * size))
    waits = sorted((body - call) / _MILLI for body, call in zip(started, asked, strict=True))
    shares = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
    return Sample({name: _percentile(waits, share) for name, share in shares.items()})


LATENCY = Workload(
    name="latency",
    title="dispatch to an idle worker, ms",
    measures=("p50", "p95", "p99"),
    unit="task",
    prepare=nothing_to_prepare,
    run=_latency,
    size=300,
    counted=None,
    higher_is_better=False,
)
