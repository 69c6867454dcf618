"""Checks of options that several commands have, made before anything is queued."""

from typing import Final

import typer

#: The largest number that Postgres can give to a task.
LARGEST_ID: Final = 2**63 - 1
_LONGEST_S: Final = 10 * 365 * 86_400


def seconds(value: float | None) -> float | None:
    """Refuse what is no length of time: negative numbers, NaN, more than ten years."""
    if value is not None and not 0 <= value <= _LONGEST_S:
        raise typer.BadParameter(f"{value:g} is not a number of seconds from 0 to {_LONGEST_S}")
    return value
