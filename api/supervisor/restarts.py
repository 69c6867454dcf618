"""Decides when a child that ended is started again: a pure function of how it ended."""

from dataclasses import dataclass

from lmx.workflows.errors import EXIT_INSTALLATION
from lmx.workflows.sweep import MAX_DELIVERIES

#: The exit code by which a child says that its environment does not allow it to run.
ENVIRONMENT = 5

#: The exit code by which it says that its installation does not work.
INSTALLATION = EXIT_INSTALLATION


@dataclass(frozen=True)
class RestartPolicy:
    """How long to wait before a restart; all times are in seconds.

    The first `prompt` ends in a row each wait `first_s`: so many workers may die of one poisonous
    task, and what is queued behind it should not wait for more than their starts. Then the wait
    doubles up to `longest_s`; it starts over after a run of at least `stable_s`. A child that ends
    `tries` times in a row because of its environment counts as failed: it is then tried only every
    `failed_s`, so that it comes back by itself when, say, a database returns, without filling the
    log meanwhile. One whose installation does not work counts as failed at once and is tried every
    `broken_s`: only somebody who installs it anew can help.
    """

    first_s: float = 0.1
    prompt: int = MAX_DELIVERIES
    longest_s: float = 30.0
    stable_s: float = 60.0
    tries: int = 4
    failed_s: float = 60.0
    broken_s: float = 600.0


@dataclass(frozen=True)
class Verdict:
    """What to do about a child that ended: start it again after `delay_s`."""

    delay_s: float
    failed: bool


class RestartHistory:
    """How often one child has ended lately."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._in_a_row = 0
        self._environment_in_a_row = 0

    def ended(self, code: int, ran_s: float) -> Verdict:
        """Record that the child ended with `code` after `ran_s` seconds."""
        policy = self._policy
        if ran_s >= policy.stable_s:
            self._in_a_row = self._environment_in_a_row = 0
        if code == INSTALLATION:
            return Verdict(policy.broken_s, failed=True)
        self._in_a_row += 1
        self._environment_in_a_row = self._environment_in_a_row + 1 if code == ENVIRONMENT else 0
        if self._environment_in_a_row >= policy.tries:
            return Verdict(policy.failed_s, failed=True)
        # The exponent is bounded, so that a child that ends for months overflows no float.
        doubled = policy.first_s * 2.0 ** min(max(0, self._in_a_row - policy.prompt), 60)
        return Verdict(min(doubled, policy.longest_s), failed=False)
