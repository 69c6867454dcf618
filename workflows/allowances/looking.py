"""A look at what allowances still grant, without locks: nothing is held by it."""

from typing import Any

import psycopg

from lmx.workflows.allowances.purse import Period, Purse
from lmx.workflows.allowances.rules import AllowanceView, list_allowances


def purse_of(conn: psycopg.Connection[Any], now: float) -> Purse:
    """The present periods of all allowances; `now` is the database's clock, in epoch seconds."""
    return Purse([_period(number, one, now) for number, one in enumerate(list_allowances(conn))])


def clock(conn: psycopg.Connection[Any]) -> float:
    """The database's clock, in seconds since the epoch."""
    row = conn.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    assert row is not None
    return float(row[0])


def _period(number: int, view: AllowanceView, now: float) -> Period:
    ends = None if view.ends_at is None else view.ends_at.timestamp()
    limits = (view.ceiling, view.spent, view.held)
    return Period(number, view.scope, view.unit, view.per, view.zone, *limits, ends, now)
