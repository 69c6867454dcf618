"""Moves a call that a route has placed to another model, in one transaction with all that follows.

Queue, pool, what the call may use there, what it holds of its budget, the new decision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from lmx.workflows.generation import PlannedCall, place_call
from lmx.workflows.operations import encode
from lmx.workflows.pools import place_calls
from lmx.workflows.providers.planning import placed
from lmx.workflows.routing.decide import Decision, Option
from lmx.workflows.routing.features import read_features
from lmx.workflows.routing.money import hold_instead
from lmx.workflows.routing.records import record, row_of
from lmx.workflows.sql import statement

Connection = psycopg.Connection[Any]

#: What a call's input says of its model.
_OF_THE_MODEL: Final = ("model", "max_tokens", "n_ctx")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call that waits in its queue, and the decision that has put it there."""

    decision: int
    task_id: int
    rule: str
    version: str
    model: str
    features: Mapping[str, Any]
    terms: Mapping[str, Any]
    models: list[str]
    parent_id: int | None
    root_id: int
    queue: str
    pool_id: int | None
    rank: float
    input: Mapping[str, Any]

    def is_at(self, option: Option) -> bool:
        """Whether the option is where the call waits."""
        return option.model == self.model and option.pool_id == self.pool_id


class Gone(Exception):  # noqa: N818
    """The call does not wait there any more."""


def go(conn: Connection, call: Waiting, option: Option) -> PlannedCall:
    """Move a call to an option. Raises LmxError if it cannot go there, Gone if it was claimed."""
    said = {key: value for key, value in call.input.items() if key not in _OF_THE_MODEL}
    asked = read_features(call.features)
    if asked.n_ctx:
        said["n_ctx"] = asked.n_ctx
    planned = place_call(conn, said, option.model, asked.max_tokens or None, option.pool_id)
    ids = [one for one in (call.parent_id, call.task_id) if one is not None]
    with conn.transaction():
        conn.execute(statement("lock"), {"ids": ids}, prepare=True)
        budgeted = hold_instead(conn, call.task_id, call.parent_id, planned)
        _place(conn, call, planned, budgeted=budgeted)
    return planned


def tell(conn: Connection, call: Waiting, decision: Decision, reason: str, because: str) -> None:
    """Write down why a call was moved; `reason` is the kind of decision and of event."""
    row = row_of(decision, reason) | {"why": f"moved from {call.model}: {because}"}
    record(conn, [{"id": call.task_id, **row}])
    conn.execute("UPDATE lmx.decisions SET again_at = NULL WHERE id = %s", [call.decision])
    told = {"from": call.model, "to": row["model"], "because": because}
    conn.execute(
        "INSERT INTO lmx.events (run_id, task_id, kind, data) VALUES (%s, %s, %s, %s)",
        [call.root_id, call.task_id, reason, encode(told)],
    )


def _place(conn: Connection, call: Waiting, planned: PlannedCall, *, budgeted: bool) -> None:
    placement = planned.placement
    told = {key: planned.input[key] for key in _OF_THE_MODEL if key in planned.input}
    conn.execute(
        "INSERT INTO lmx.queues (name) VALUES (%s) ON CONFLICT DO NOTHING", [planned.queue]
    )
    moved = conn.execute(
        statement("move_call"),
        {
            "id": call.task_id,
            "queue": planned.queue,
            "pool": placement and placement.pool_id,
            "input": encode(told),
            "budgeted": budgeted,
            "time_limit": planned.terms().time_limit,
            "from_queue": call.queue,
            "from_pool": call.pool_id,
        },
        prepare=True,
    ).fetchone()
    if moved is None:
        raise Gone
    if placement is None:
        conn.execute("DELETE FROM lmx.calls WHERE task_id = %s", [call.task_id])
    else:
        conn.execute("UPDATE lmx.calls SET deferred = NULL WHERE task_id = %s", [call.task_id])
        place_calls(conn, [placed({"id": call.task_id}, placement)])
