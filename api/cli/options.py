"""Options that several commands have, and their checks, made before anything is queued."""

from typing import Annotated, Final

import typer

#: The largest number that Postgres can give to a task.
LARGEST_ID: Final = 2**63 - 1
_LONGEST_S: Final = 10 * 365 * 86_400


def seconds(value: float | None) -> float | None:
    """Refuse what is no length of time: negative numbers, NaN, more than ten years."""
    if value is not None and not 0 <= value <= _LONGEST_S:
        raise typer.BadParameter(f"{value:g} is not a number of seconds from 0 to {_LONGEST_S}")
    return value


def span(text: str, option: str) -> int:
    """Read a span of time such as 90m, 12h or 7d, in seconds. Raises InvalidInput."""
    from lmx.workflows.errors import InvalidInput
    from lmx.workflows.units import parse_span

    try:
        return parse_span(text)
    except ValueError as error:
        raise InvalidInput(f"{option}: {error}") from None


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Priority = Annotated[int, typer.Option(help="Higher goes first; -1000 to 1000.")]
IdempotencyKey = Annotated[
    str | None, typer.Option(help="A repeat with this key returns the first one's id.")
]
Deadline = Annotated[
    float | None,
    typer.Option(callback=seconds, help="Fail the work if it is not done in so many seconds."),
]
Timeout = Annotated[
    float | None,
    typer.Option(callback=seconds, help="Wait at most so many seconds; the work goes on."),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", help="A word for the rules to look at: team=search. As often as need."),
]
Private = Annotated[bool, typer.Option("--private", help="Only local models may see it.")]
