"""Gives a call that has failed for good to another model or account, where that may help.

A key that is refused, an account without credit, a model that the provider does not know, a prompt
that is too long for it: the reason is that of one model or account, and another may answer. A call
by a route goes to the next candidate, if its rule lets calls be diverted; every other call goes to
another account of its model, as long as it has attempts left. What has failed is recorded in the
transaction that moves it, so a kill leaves the call where it was or where it goes.
"""

from dataclasses import replace
from typing import Any, Final

import psycopg

from lmx.workflows.accounts import change_account
from lmx.workflows.errors import Refused
from lmx.workflows.generation import PlannedCall
from lmx.workflows.operations import Operation, apply, encode
from lmx.workflows.routing.decide import NobodyCan, Option, choose
from lmx.workflows.routing.features import read_features
from lmx.workflows.routing.moving import Gone, Waiting, go, tell
from lmx.workflows.routing.options import survey
from lmx.workflows.routing.planning import plan_decided
from lmx.workflows.routing.rules import Rule, Terms
from lmx.workflows.sql import statement

Connection = psycopg.Connection[Any]

#: So much of a reason is kept with each decision.
_LONGEST: Final = 200


def divert(conn: Connection, back: Operation, because: str) -> bool:
    """Apply `back`, which gives the call back, and put it elsewhere; false if it can go nowhere.

    Nothing is written then. True, too, if the lease has passed to somebody else.
    """
    row = conn.execute(statement("latest_decision"), {"task": back.task_id}).fetchone()
    if row is None:
        return False
    *decided, divertible = row
    call = Waiting(*decided)
    because = because if len(because) <= _LONGEST else f"{because[: _LONGEST - 3]}..."
    if divertible:
        return _to_the_next(conn, call, back, because)
    return _to_another_account(conn, call, back, because)


def _to_the_next(conn: Connection, call: Waiting, back: Operation, because: str) -> bool:
    """Choose again by the call's rule, without the models at which it has failed."""
    features, terms = read_features(call.features), Terms(**call.terms)
    if features.cheap:
        return False
    options = survey(conn, n_ctx=features.n_ctx).options(features)
    here = next((one.place for one in options if call.is_at(one)), call.model)
    known = replace(features, failed={**features.failed, here: because})
    rule = Rule(call.rule, tuple(call.models), terms)
    call = replace(call, features=known.as_json())

    def move(there: Option) -> PlannedCall:
        if not there.attended:
            raise Refused("no worker serves its queue now")
        return go(conn, call, there)

    with conn.transaction():
        (applied,) = apply(conn, [back])
        if not applied.accepted:
            return True
        try:
            _, decision = plan_decided(
                options, lambda among: choose(known, rule, among, call.version), move
            )
        except (NobodyCan, Gone):
            raise psycopg.Rollback from None
        tell(conn, call, decision, "diverted", because)
        return True
    return False


def _to_another_account(conn: Connection, call: Waiting, back: Operation, because: str) -> bool:
    """Put the call into the pool of another account of its model.

    That is an attempt, unless a breaker keeps the call from coming back.
    """
    counts = not any(one["kind"] == "failed" for one in back.news or ())
    asked = {"task": call.task_id, "pool": call.pool_id, "counts": counts}
    row = conn.execute(statement("other_account"), asked, prepare=True).fetchone()
    if row is None:
        return False
    there, from_name, to_name = row
    with conn.transaction():
        (applied,) = apply(conn, [replace(back, fields={**back.fields, "tried": int(counts)})])
        if not applied.accepted:
            return True
        if call.pool_id is None or not change_account(conn, call.pool_id, there, task=call.task_id):
            raise psycopg.Rollback
        told = {"from": from_name, "to": to_name, "because": because}
        conn.execute(
            "INSERT INTO lmx.events (run_id, task_id, kind, data) VALUES (%s, %s, 'diverted', %s)",
            [call.root_id, call.task_id, encode(told)],
        )
        return True
    return False
