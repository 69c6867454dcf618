"""Arguments of the wrong kind, refused before the compiled part sees them."""

from __future__ import annotations

import math

from lmx.engine.errors import InvalidRequest

INT_32 = 2**31 - 1
INT_64 = 2**63 - 1


def whole(name: str, value: object, low: int, high: int | None = None) -> int:
    """The number itself. Raises InvalidRequest for what is none from ``low`` (to ``high``)."""
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= (high or INT_64):
        return value
    span = f"{low} or more" if high is None or high >= INT_32 else f"from {low} to {high}"
    raise InvalidRequest(f"{name} is {value!r} but must be a whole number, {span}")


def at_least_zero(name: str, value: object) -> float:
    """The number itself. Raises InvalidRequest for what is none, infinite or negative."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    raise InvalidRequest(f"{name} is {value!r} but must be a number, 0 or more")
