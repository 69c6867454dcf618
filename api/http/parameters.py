"""Parameters that several routes share."""

from typing import Annotated

from fastapi import Header, Path, Query

_BIGGEST = 2**63 - 1

TaskId = Annotated[int, Path(ge=1, le=_BIGGEST, description="The task's id.")]
RunId = Annotated[int, Path(ge=1, le=_BIGGEST, description="The run's id.")]
Wait = Annotated[
    float,
    Query(
        ge=0,
        le=300,
        description="Seconds to wait for the end. The answer comes earlier if it ends earlier;"
        " otherwise it shows the state at that time.",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="A repeat of the same request with the same key creates nothing and returns"
        " the first one's id; a different request with it is refused.",
    ),
]
