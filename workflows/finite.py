"""Finds numbers that JSON cannot hold in values that are about to be encoded."""

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any


def not_finite(value: Any) -> str | None:
    """Return the first NaN or infinity within `value` and where it is (`nan at [2].score`)."""
    return next(_found(value, ""), None)


def _found(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, float):
        if not math.isfinite(value):
            yield f"{value} at {place}" if place else str(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, float) and not math.isfinite(key):
                yield f"the key {key}"
            yield from _found(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _found(item, f"{place}[{number}]")
    elif isinstance(value, Enum):
        yield from _found(value.value, place)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _found({one.name: getattr(value, one.name) for one in fields(value)}, place)
