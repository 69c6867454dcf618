"""Which of the waiting model calls to claim now: the planner's answer, with patience for the large.

A pure decision: `choose` looks at candidates and fits and touches nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

#: Seconds after which a call that waits for memory is not overtaken any more.
PATIENCE_S: Final = 10.0


class Fit(Protocol):
    """The planner's answer for one job, in bytes."""

    @property
    def verdict(self) -> str:
        """now, after_eviction, wait or never."""

    @property
    def needs(self) -> int:
        """What the job takes in all."""

    @property
    def missing(self) -> int:
        """What would still have to be reserved for it."""

    @property
    def cap(self) -> int:
        """What may be booked on the device."""

    @property
    def free(self) -> int:
        """What was free when its turn came."""


@dataclass(slots=True)
class Choice:
    """What to claim: task ids, with the bytes to book for each; who waits for memory, and why."""

    claim: dict[int, int] = field(default_factory=dict)
    waiting: dict[int, Fit] = field(default_factory=dict)


def choose(
    candidates: Sequence[int],
    fits: Mapping[int, Fit | None],
    waited: Mapping[int, float],
    slots: int,
    larger_elsewhere: int = 0,
) -> Choice:
    """Choose among `candidates`, which are in fair order.

    `fits` holds the planner's answers; None is a call that can only fail, and is claimed to do so,
    and a missing one is a call that this host cannot run. `waited` says for how many seconds a call
    has waited for memory. What can never fit here is claimed, to fail with its three numbers,
    unless another device could hold `larger_elsewhere` bytes.
    """
    choice = Choice()
    for task in candidates:
        if len(choice.claim) == slots:
            break
        if task not in fits:
            continue
        fit = fits[task]
        if fit is None:
            choice.claim[task] = 0
        elif fit.verdict in ("now", "after_eviction"):
            choice.claim[task] = fit.missing
        elif fit.verdict == "never":
            if fit.needs > larger_elsewhere:
                choice.claim[task] = 0
        else:
            choice.waiting[task] = fit
            if waited.get(task, 0.0) > PATIENCE_S:
                break
    return choice
