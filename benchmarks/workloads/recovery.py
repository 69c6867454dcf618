"""Recovery: SIGKILL with every slot busy, a new worker, until all run again.

On the same host, and, for systems whose recovery depends on it, on what looks like another host:
there nobody can tell that the old worker is dead before its lease has expired.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.adapters.base import SLOTS
from benchmarks.trial import Trial, TrialError
from benchmarks.workloads.base import Sample, Workload, nothing_to_prepare

_NANO = 1e9
_GIVE_UP_S = 240.0


def _recover(trial: Trial, size: int, *, elsewhere: bool = False) -> Sample:
    trial.start_worker()
    trial.client("batch", "hold", "0", str(size))
    trial.wait_for_bodies(range(size))
    killed = trial.kill_worker()
    trial.start_worker(elsewhere=elsewhere)
    again = range(SLOTS, SLOTS + size)
    if not trial.stamps.wait(again, _GIVE_UP_S, poll_s=0.01):
        lost = sum(1 for stamp in trial.stamps.all(again) if not stamp)
        if lost == size:
            return Sample({"seconds": float("inf")})
        raise TrialError(f"{trial.system}: {lost} of {size} tasks never ran again")
    trial.wait_until_recorded()
    return Sample({"seconds": max(trial.stamps.all(again)) / _NANO - killed})


def _workload(name: str, title: str, run: Callable[[Trial, int], Sample]) -> Workload:
    return Workload(
        name=name,
        title=title,
        measures=("seconds",),
        unit="task",
        prepare=nothing_to_prepare,
        run=run,
        size=SLOTS,
        counted=None,
        higher_is_better=False,
        repeat=False,
        defaults_only=True,
    )


RECOVERY = _workload("recovery", "SIGKILL with 16 in flight, restart on the same host, s", _recover)
FAILOVER = _workload(
    "failover",
    "SIGKILL with 16 in flight, restart on another host, s",
    partial(_recover, elsewhere=True),
)
