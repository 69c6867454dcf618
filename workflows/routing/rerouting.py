"""Moves calls that have waited for as long as their rule lets them to a model that is free.

The rule is the one by which the call was decided, as its row in lmx.decisions has it; what is free
is looked at anew. A call that is claimed meanwhile stays where it is.
"""

import logging
from time import monotonic
from typing import Any, Final

import psycopg

from lmx.workflows.generation import PlannedCall
from lmx.workflows.routing.decide import NobodyCan, Option, choose, soft_reason
from lmx.workflows.routing.features import read_features
from lmx.workflows.routing.moving import Gone, Waiting, go, tell
from lmx.workflows.routing.options import survey
from lmx.workflows.routing.planning import plan_decided
from lmx.workflows.routing.records import LOOK_AGAIN_S
from lmx.workflows.routing.rules import Rule, Terms
from lmx.workflows.sql import statement

log = logging.getLogger("lmx.routing")
Connection = psycopg.Connection[Any]

#: Calls looked at in one round, and seconds after which a round ends.
MOST: Final = 32
WITHIN_S: Final = 0.5
#: A call that can go nowhere better is looked at again after a part of its wait, at most this.
_LATEST_S: Final = 60.0
#: An advisory lock ("lmx\0rr"): one process at a time moves calls.
_LOCK: Final = 0x6C6D_7800_7272


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
        return go(conn, call, there) if _better(call, there, here, terms) else None

    try:
        planned, decision = plan_decided(
            options, lambda known: choose(features, rule, known, call.version), move
        )
    except (NobodyCan, Gone):
        planned = None
    if planned is None:
        return _stay(conn, call, terms, here)
    tell(conn, call, decision, "rerouted", because)
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
