"""Until when things have been pruned: what ended before that may be gone."""

from datetime import datetime
from typing import Any, Literal

import psycopg

Connection = psycopg.Connection[Any]
What = Literal["records", "runs"]


def mark(conn: Connection, what: What, before: datetime) -> None:
    """Write down, before it is done, that what ended before this is being pruned."""
    conn.execute(
        "INSERT INTO lmx.pruned (what, before) VALUES (%s, %s) ON CONFLICT (what) DO UPDATE"
        " SET before = greatest(pruned.before, excluded.before), at = clock_timestamp()",
        [what, before],
    )


def pruned_before(conn: Connection, what: What) -> datetime | None:
    """What ended before this may be gone; None if nothing was ever pruned."""
    return all_pruned(conn).get(what)


def all_pruned(conn: Connection) -> dict[str, datetime]:
    """Before when each of them was pruned; what never was is left out."""
    rows = conn.execute("SELECT what, before FROM lmx.pruned ORDER BY what").fetchall()
    return dict(rows)


def pruned_within(conn: Connection, seconds: float) -> bool:
    """Whether somebody has begun to prune in the last so many seconds."""
    row = conn.execute(
        "SELECT FROM lmx.pruned WHERE at > clock_timestamp() - make_interval(secs => %s) LIMIT 1",
        [seconds],
    ).fetchone()
    return row is not None
