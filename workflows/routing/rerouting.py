"""Moves calls that have waited for as long as their rule lets them to a model that is free.

The rule is the one by which the call was decided, as its row in lmx.decisions has it; what is free
is looked at anew. A move is one transaction: queue, pool, what the call may use there, what it
holds of its budget, the new decision. A call that is claimed meanwhile stays where it is.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import psycopg

from lmx.workflows.generation import PlannedCall, place_call
from lmx.workflows.operations import encode
from lmx.workflows.pools import place_calls
from lmx.workflows.providers.planning import placed
from lmx.workflows.routing.decide import Decision, NobodyCan, Option, choose, soft_reason
from lmx.workflows.routing.features import read_features
from lmx.workflows.routing.money import hold_instead
from lmx.workflows.routing.options import survey
from lmx.workflows.routing.planning import plan_decided
from lmx.workflows.routing.records import LOOK_AGAIN_S, record, row_of
from lmx.workflows.routing.rules import Rule, Terms
from lmx.workflows.sql import statement

log = logging.getLogger("lmx.routing")
Connection = psycopg.Connection[Any]

#: Calls looked at in one round, and seconds after which a round ends.
MOST: Final = 32
WITHIN_S: Final = 0.5
#: A call that can go nowhere better is looked at again after a part of its wait, at most this.
_LATEST_S: Final = 60.0
#: What a call's input says of its model.
_OF_THE_MODEL: Final = ("model", "max_tokens", "n_ctx")
#: An advisory lock ("lmx\0rr"): one process at a time moves calls.
_LOCK: Final = 0x6C6D_7800_7272


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


def reroute_due(conn: Connection, most: int = MOST) -> int:
    """Look at calls whose time it is, and move those that can go elsewhere; returns how many.

    Costs one look into an index when none is due.
    """
    if conn.execute(statement("any_due_decision"), prepare=True).fetchone() is None:
        return 0
    conn.execute(statement("rest_decisions"), {"least": LOOK_AGAIN_S}, prepare=True)
    moved, end = 0, monotonic() + WITHIN_S
    for _ in range(most):
        seen = _next(conn)
        if seen is None:
            break
        moved += seen
        if monotonic() > end:
            break
    return moved


def _next(conn: Connection) -> bool | None:
    """Look at the call that is due for longest; whether it moved, None if none is due."""
    row = None
    try:
        with conn.transaction():
            row = conn.execute(statement("due_decision"), {"lock": _LOCK}, prepare=True).fetchone()
            return None if row is None else _review(conn, Waiting(*row))
    except psycopg.Error:
        raise
    except Exception:  # one that cannot be understood must not keep the others waiting
        if row is None:
            raise
        log.exception("the decision %s cannot be looked at; its call stays where it is", row[0])
        conn.execute("UPDATE lmx.decisions SET again_at = NULL WHERE id = %s", [row[0]])
        return False


def _review(conn: Connection, call: Waiting) -> bool:
    """Move one call if it should be; returns whether it was. Its decision is locked."""
    features, terms = read_features(call.features), Terms(**call.terms)
    place = (call.pool_id, call.rank)
    options = survey(conn, n_ctx=features.n_ctx, place=place).options(features)
    here = next((one for one in options if call.is_at(one)), None)
    because = "its model is gone" if here is None else soft_reason(here, terms)
    if because is None or features.cheap:
        return _stay(conn, call, terms, here)
    rule = Rule(call.rule, tuple(call.models), terms)

    def move(there: Option) -> PlannedCall | None:
        return _go(conn, call, there) if _better(call, there, here, terms) else None

    try:
        planned, decision = plan_decided(
            options, lambda known: choose(features, rule, known, call.version), move
        )
    except (NobodyCan, _Gone):
        planned = None
    if planned is None:
        return _stay(conn, call, terms, here)
    _tell(conn, call, decision, because)
    return True


def _better(call: Waiting, there: Option, here: Option | None, terms: Terms) -> bool:
    """Whether a call gains enough by moving, so that it does not go to and fro."""
    if call.is_at(there):
        return False
    if here is None or soft_reason(there, terms) is None:
        return True
    if there.attended != here.attended:
        return there.attended
    if there.rejected != here.rejected:
        return there.rejected is None
    return there.wait_s <= here.wait_s / 2


def _stay(conn: Connection, call: Waiting, terms: Terms, here: Option | None) -> bool:
    wait = min(_LATEST_S, here.wait_s / 4 if here else 0.0)
    again_in = max(LOOK_AGAIN_S, terms.max_wait_s, wait)
    conn.execute(
        "UPDATE lmx.decisions SET again_at = clock_timestamp() + make_interval(secs => %s)"
        " WHERE id = %s",
        [again_in, call.decision],
    )
    return False


def _tell(conn: Connection, call: Waiting, decision: Decision, because: str) -> None:
    """Write down why a call was moved."""
    row = row_of(decision, "rerouted") | {"why": f"moved from {call.model}: {because}"}
    record(conn, [{"id": call.task_id, **row}])
    conn.execute("UPDATE lmx.decisions SET again_at = NULL WHERE id = %s", [call.decision])
    told = {"from": call.model, "to": row["model"], "because": because}
    conn.execute(
        "INSERT INTO lmx.events (run_id, task_id, kind, data) VALUES (%s, %s, 'rerouted', %s)",
        [call.root_id, call.task_id, encode(told)],
    )


class _Gone(Exception):  # noqa: N818
    """The call does not wait there any more."""


def _go(conn: Connection, call: Waiting, option: Option) -> PlannedCall:
    """Move a call to an option. Raises LmxError if it cannot go there, _Gone if it was claimed."""
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
        raise _Gone
    if placement is None:
        conn.execute("DELETE FROM lmx.calls WHERE task_id = %s", [call.task_id])
    else:
        conn.execute("UPDATE lmx.calls SET deferred = NULL WHERE task_id = %s", [call.task_id])
        place_calls(conn, [placed({"id": call.task_id}, placement)])
