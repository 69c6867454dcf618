"""Which of the waiting model calls to claim now, by the planner's answers.

A pure decision: `choose` looks at candidates and fits and touches nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Fit(Protocol):
    """The planner's answer for one job, in bytes."""

    @property
    def verdict(self) -> str:
        """now, after_eviction, streamed, wait or never."""

    @property
    def starts(self) -> bool:
        """Whether the job may start now."""

    @property
    def turn(self) -> int:
        """Its place in the order in which jobs start."""

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
    slots: int,
    larger_elsewhere: int = 0,
) -> Choice:
    """Choose among `candidates`, which are in fair order.

    `fits` holds the planner's answers; None is a call that can only fail, and is claimed to do so,
    and a missing one is a call that this host cannot run. What fits is claimed in the order of the
    planner's turns. What can never fit here is claimed, to fail with its three numbers, unless
    another device could hold `larger_elsewhere` bytes.
    """
    choice = Choice()
    known = [task for task in candidates if task in fits]
    failing = [task for task in known if _can_only_fail(fits[task], larger_elsewhere)]
    choice.claim = dict.fromkeys(failing[:slots], 0)
    planned = [(fit.turn, task, fit) for task in known if (fit := fits[task]) is not None]
    for _, task, fit in sorted(planned, key=lambda answer: answer[0]):
        if fit.starts and len(choice.claim) < slots:
            choice.claim[task] = fit.missing
        elif fit.verdict == "wait":
            choice.waiting[task] = fit
    return choice


def _can_only_fail(fit: Fit | None, larger_elsewhere: int) -> bool:
    return fit is None or (fit.verdict == "never" and fit.needs > larger_elsewhere)
