"""What routes have chosen for calls, in short; `routing.records` has all of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class CandidateName:
    """A model that was looked at; `verdict` is chosen, in, passed over or out."""

    model: str
    pool: str | None
    verdict: str


@dataclass(frozen=True, slots=True)
class RoutedView:
    """The latest decision for a call. `reason`: submitted, or rerouted when it had to wait."""

    route: str
    rule: str
    reason: str
    model: str
    pool: str | None
    why: str
    candidates: tuple[CandidateName, ...]


_LATEST: Final = text(
    "SELECT DISTINCT ON (task_id) task_id, route, rule, reason, model, pool, why, candidates"
    " FROM lmx.decisions WHERE task_id = ANY(:ids) ORDER BY task_id, id DESC"
)


def routed_calls(connection: Connection, ids: Sequence[int]) -> dict[int, RoutedView]:
    """Return what was decided last for those of these calls that a route has placed, by task id."""
    if not ids:
        return {}
    rows = connection.execute(_LATEST, {"ids": list(ids)})
    return {row[0]: RoutedView(*[*row[1:-1], _named(row[-1])]) for row in rows}


def _named(candidates: Sequence[Mapping[str, Any]]) -> tuple[CandidateName, ...]:
    return tuple(CandidateName(row["model"], row["pool"], row["verdict"]) for row in candidates)
