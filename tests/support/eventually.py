"""Waits for something to become true, with a deadline instead of a guess."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], what: str, within_s: float = 20.0) -> T:
    """Return the first true answer of `look`; fail, saying `what` was awaited, after a deadline."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {within_s:g} s in vain for: {what}"
        time.sleep(0.01)
    return found
