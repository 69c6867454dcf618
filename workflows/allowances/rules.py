"""Allowances in the database: to set them, to end them, to look at them, to check their sums."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psycopg

from lmx.workflows.allowances.purse import EVERYTHING
from lmx.workflows.allowances.words import SPANS, amount_text, parse_amount, span_text
from lmx.workflows.errors import BudgetExceeded, InvalidInput, NotFound
from lmx.workflows.sql import statement

#: Who may have set an allowance.
PERSON: Final = "person"
FILE: Final = "file"


@dataclass(frozen=True, slots=True)
class Allowance:
    """`ceiling` of `unit` in each `per` of `zone`, for an account (`provider/name`) or for all."""

    scope: str
    unit: str
    per: str
    zone: str
    ceiling: int
    origin: str = PERSON

    def __str__(self) -> str:
        return f"{amount_text(self.unit, self.ceiling)} {span_text(self.scope, self.per)}"


@dataclass(frozen=True, slots=True)
class AllowanceView:
    """An allowance in its present period. Of what is `spent`, `unknown` was charged at its hold,
    because nobody knows what became of those calls."""

    scope: str
    unit: str
    per: str
    zone: str
    ceiling: int
    origin: str
    spent: int
    held: int
    unknown: int
    starts_at: datetime | None
    ends_at: datetime | None

    @property
    def left(self) -> int:
        """What can still be held; nothing if it was lowered beneath what is spent."""
        return max(0, self.ceiling - self.spent - self.held)


def allowance(
    amount: str,
    *,
    unit: str = "usd",
    per: str = "day",
    account: str | None = None,
    zone: str = "UTC",
    origin: str = PERSON,
) -> Allowance:
    """An allowance as a person writes it. Raises InvalidInput, naming what cannot be meant."""
    if per not in SPANS:
        raise InvalidInput(f"{per!r} is no period", hint=f"use {', '.join(SPANS)}")
    if account is not None and (account.count("/") != 1 or not all(account.split("/"))):
        raise InvalidInput(f"{account!r} is no account", hint="write anthropic/default")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = "write UTC or Europe/Berlin"
        raise InvalidInput(f"{zone!r} is no time zone", hint=hint) from None
    ceiling = parse_amount(unit, amount)
    return Allowance(account or EVERYTHING, unit, per, zone, ceiling, origin)


def set_allowance(conn: psycopg.Connection[Any], given: Allowance) -> None:
    """Set an allowance or change it; calls that wait for it try again at once.

    One that is lowered beneath what is spent and held grants nothing until its next period. Raises
    InvalidInput for a time zone that the database does not know.
    """
    with conn.transaction():
        _check_zone(conn, given.zone)
        row = {
            "scope": given.scope,
            "unit": given.unit,
            "per": given.per,
            "zone": given.zone,
            "ceiling": given.ceiling,
            "origin": given.origin,
        }
        conn.execute(statement("set_allowance"), row)
        conn.execute(statement("recall_deferred"))


def _check_zone(conn: psycopg.Connection[Any], zone: str) -> None:
    try:
        conn.execute("SELECT now() AT TIME ZONE %s", [zone])
    except psycopg.errors.InvalidParameterValue:
        hint = "write UTC or Europe/Berlin"
        raise InvalidInput(f"the database knows no time zone {zone!r}", hint=hint) from None


def end_allowance(conn: psycopg.Connection[Any], scope: str, unit: str, per: str) -> None:
    """Grant without end again. What was spent stays in the ledger. Raises NotFound."""
    with conn.transaction():
        ended = conn.execute(
            "UPDATE lmx.allowances SET active = false"
            " WHERE scope = %s AND unit = %s AND per = %s AND active RETURNING id",
            [scope, unit, per],
        ).fetchone()
        if ended is None:
            what = f"{unit} {span_text(scope, per)}"
            raise NotFound(f"there is no allowance of {what}", hint="see them with: lmx budget")
        conn.execute(statement("recall_deferred"))


def follow_file(conn: psycopg.Connection[Any], given: Iterable[Allowance]) -> None:
    """Set the allowances of providers.toml, and end those that are not in it any more.

    Each in a transaction of its own: no two periods are locked in another order than the claims'.
    """
    wanted = {(one.scope, one.unit, one.per): one for one in given}
    rows = conn.execute(
        "SELECT scope, unit, per, zone, ceiling, origin FROM lmx.allowances WHERE active"
    ).fetchall()
    known = {(row[0], row[1], row[2]): Allowance(*row) for row in rows}
    for key, one in wanted.items():
        if known.get(key) != one:
            set_allowance(conn, one)
    for key, old in known.items():
        if old.origin == FILE and key not in wanted:
            end_allowance(conn, *key)


_VIEW: Final = """
SELECT a.scope, a.unit, a.per, a.zone, a.ceiling, a.origin,
       coalesce(p.spent + s.cost, 0)::bigint, coalesce(p.held - s.amount, 0)::bigint,
       (SELECT coalesce(sum(c.amount), 0)::bigint FROM lmx.allowance_charges c
        WHERE c.period_id = p.id AND c.reason = 'unknown'),
       p.starts_at, p.ends_at
FROM lmx.allowances a
LEFT JOIN lmx.allowance_periods p ON p.allowance_id = a.id
    AND p.starts_at <= now() AND (p.ends_at IS NULL OR now() < p.ends_at)
LEFT JOIN LATERAL (
    SELECT coalesce(sum(h.cost), 0) AS cost, coalesce(sum(h.amount), 0) AS amount
    FROM lmx.allowance_holds h WHERE h.period_id = p.id AND h.cost IS NOT NULL) s ON true
WHERE a.active
ORDER BY a.scope, a.per, a.unit
"""


def list_allowances(conn: psycopg.Connection[Any]) -> list[AllowanceView]:
    """All allowances in their present periods."""
    return [AllowanceView(*row) for row in conn.execute(_VIEW).fetchall()]


def accounts_served(conn: psycopg.Connection[Any]) -> list[str]:
    """The accounts (`provider/name`) that some worker has served."""
    rows = conn.execute("SELECT DISTINCT provider || '/' || account FROM lmx.pools ORDER BY 1")
    return [row[0] for row in rows]


def never_fits(
    conn: psycopg.Connection[Any], account: str, amounts: Mapping[str, int]
) -> Allowance | None:
    """The allowance that a call of an account can never fit into, if there is one."""
    rows = conn.execute(
        "SELECT scope, unit, per, zone, ceiling, origin FROM lmx.allowances"
        " WHERE active AND scope = ANY(%s) ORDER BY id",
        [[EVERYTHING, account]],
    ).fetchall()
    known = (Allowance(*row) for row in rows)
    return next((one for one in known if amounts.get(one.unit, 0) > one.ceiling), None)


def refuse_impossible(given: Allowance, amounts: Mapping[str, int]) -> BudgetExceeded:
    """The error for a call that an allowance can never hold."""
    needs = amount_text(given.unit, amounts[given.unit])
    return BudgetExceeded(
        f"the call can cost up to {needs}, more than the allowance of {given}",
        hint="raise it with `lmx budget set`, or lower max_tokens or the prompt's length",
    )
