"""Calls that may wait: what `when` says of them, and what they need."""

from typing import Final

from lmx.workflows.errors import InvalidInput
from lmx.workflows.providers.batching import LONGEST_S

#: What `when` may say: the call may take a day, if it costs less then.
CHEAP: Final = "cheap"


def check_when(when: str | None) -> bool:
    """Whether a call may wait to be cheap. Raises InvalidInput for anything but "cheap"."""
    if when not in (None, CHEAP):
        raise InvalidInput(f"when is {when!r}", hint=f"it must be {CHEAP}, or left out")
    return when == CHEAP


def refuse_hurried(within: float | None) -> None:
    """Raise InvalidInput if a call in a batch could have less time than a batch may take."""
    if within is not None and within < LONGEST_S:
        raise InvalidInput(
            f"a batch may take {LONGEST_S / 3600:.0f} h, but the call has {within / 3600:.3g} h"
            " until its deadline",
            hint="leave out when=cheap, or the deadline",
        )
