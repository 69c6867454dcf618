"""Recovery: SIGKILL with every slot busy, a new worker on the same host, until all run again."""

from __future__ import annotations

from benchmarks.adapters.base import SLOTS
from benchmarks.trial import Trial, TrialError
from benchmarks.workloads.base import Sample, Workload, nothing_to_prepare

_NANO = 1e9
_GIVE_UP_S = 240.0


def _recover(trial: Trial, size: int) -> Sample:
    trial.start_worker()
    trial.client("batch", "hold", "0", str(size))
    trial.wait_for_bodies(range(size))
    killed = trial.kill_worker()
    trial.start_worker()
    again = range(SLOTS, SLOTS + size)
    if not trial.stamps.wait(again, _GIVE_UP_S, poll_s=0.01):
        lost = sum(1 for stamp in trial.stamps.all(again) if not stamp)
        if lost == size:
            return Sample({"seconds": float("inf")})
        raise TrialError(f"{trial.system}: {lost} of {size} tasks never ran again")
    trial.wait_until_recorded()
    return Sample({"seconds": max(trial.stamps.all(again)) / _NANO - killed})


RECOVERY = Workload(
    name="recovery",
    title="SIGKILL with 16 in flight, until they run again, s",
    measures=("seconds",),
    unit="task",
    prepare=nothing_to_prepare,
    run=_recover,
    size=SLOTS,
    counted=None,
    higher_is_better=False,
    repeat=False,
    defaults_only=True,
)
