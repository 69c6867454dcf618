"""Decisions in the database: written with the call that they are about, read to be explained."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import psycopg

from lmx.workflows.errors import NotFound
from lmx.workflows.operations import encode
from lmx.workflows.retention.kept import pruned_before
from lmx.workflows.routing.decide import Decision
from lmx.workflows.routing.rules import Terms
from lmx.workflows.sql import statement

#: A call that waits is not looked at more often than this, in seconds.
LOOK_AGAIN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision as its row has it; `cost` is in nano-dollars. `why` is the chosen one's reason."""

    task_id: int
    at: datetime
    reason: str
    route: str
    rule: str
    rules_version: str
    model: str
    pool: str | None
    cost: int
    why: str
    features: Mapping[str, Any]
    candidates: Sequence[Mapping[str, Any]]
    terms: Mapping[str, Any]
    models: Sequence[str]


COLUMNS: Final = (
    "task_id, at, reason, route, rule, rules_version, model, pool, cost, why, features,"
    " candidates, terms, models"
)


def row_of(decision: Decision, reason: str = "submitted") -> dict[str, Any]:
    """The row of record_decisions.sql for a decision, but for its task.

    A call whose rule lets it be moved is looked at again when it has waited for as long as it may.
    """
    chosen = decision.required()
    terms = decision.terms
    return {
        "reason": reason,
        "route": decision.features.route,
        "rule": decision.rule,
        "version": decision.version,
        "model": chosen.model,
        "pool": chosen.pool,
        "cost": chosen.cost,
        "why": decision.why,
        "features": decision.features.as_json(),
        "candidates": [asdict(one) for one in decision.candidates],
        "terms": asdict(terms),
        "models": list(decision.models),
        "again_in": look_again_in(terms),
    }


def look_again_in(terms: Terms) -> float | None:
    """After how many seconds a call that waits is looked at again; None: it stays where it is."""
    return max(LOOK_AGAIN_S, terms.max_wait_s) if terms.divert else None


def record(conn: psycopg.Connection[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of `row_of` with their tasks' `id`. Part of the caller's transaction."""
    conn.execute(statement("record_decisions"), {"ops": encode(rows)}, prepare=True)


def decisions_of(conn: psycopg.Connection[Any], task_id: int) -> list[Recorded]:
    """What was decided for a call, the first decision first. Raises NotFound if nothing was."""
    query = f"SELECT {COLUMNS} FROM lmx.decisions WHERE task_id = %s ORDER BY id"  # noqa: S608
    found = [Recorded(*row) for row in conn.execute(query, [task_id])]
    if not found:
        pruned = pruned_before(conn, "records")
        gone = (
            "" if pruned is None else f", or it ended before {pruned:%Y-%m-%d} and that is pruned"
        )
        raise NotFound(
            f"no route has chosen a model for task {task_id}{gone}",
            hint="`lmx show` tells what it is; name a route with --route",
        )
    return found
