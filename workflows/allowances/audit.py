"""The audit that the sums of all allowances are exact.

For every period, at every commit:

    spent + what was settled since the last claim = its charges
    held  = what leased attempts and calls in batches hold of it, and what was settled since the
            last claim
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from lmx.workflows.allowances.words import span_text
from lmx.workflows.database.connect import Database


@dataclass(frozen=True, slots=True)
class AllowanceDiscrepancy:
    """A period of an allowance whose `column` is not what the rows behind it add up to."""

    scope: str
    unit: str
    per: str
    starts_at: datetime
    column: str
    expected: int
    actual: int

    def __str__(self) -> str:
        return (
            f"the allowance in {self.unit} {span_text(self.scope, self.per)} that began"
            f" {self.starts_at:%Y-%m-%d %H:%M %Z} says {self.column} = {self.actual}, but its"
            f" rows add up to {self.expected}"
        )


_CHECK: Final = """
SELECT a.scope, a.unit, a.per, p.starts_at, v.name, v.expected::bigint, v.actual::bigint
FROM lmx.allowance_periods p
JOIN lmx.allowances a ON a.id = p.allowance_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.amount), 0) AS charged FROM lmx.allowance_charges c
    WHERE c.period_id = p.id) c
CROSS JOIN LATERAL (
    SELECT coalesce(sum(h.amount), 0) AS held, coalesce(sum(h.cost), 0) AS settled,
           count(*) FILTER (WHERE h.cost IS NULL AND NOT EXISTS (
               SELECT FROM lmx.tasks t WHERE t.id = h.task_id AND t.lease_seq = h.lease_seq
                  AND t.state = 'leased') AND NOT EXISTS (
               SELECT FROM lmx.batch_calls m WHERE m.task_id = h.task_id
                  AND m.lease_seq = h.lease_seq AND m.outcome IS NULL)) AS abandoned
    FROM lmx.allowance_holds h WHERE h.period_id = p.id) h
CROSS JOIN LATERAL (VALUES
    ('spent', c.charged, p.spent + h.settled),
    ('held', h.held, p.held),
    ('committed', least(p.ceiling, p.spent + p.held), p.spent + p.held),
    ('holds of no running call', 0, h.abandoned)
) AS v(name, expected, actual)
WHERE v.expected <> v.actual
ORDER BY p.id, v.name
"""


def check_allowances(database: Database) -> list[AllowanceDiscrepancy]:
    """Compare every period with the charges and holds behind it; empty: every sum is exact."""
    with database.engine.connect() as connection:
        return [AllowanceDiscrepancy(*row) for row in connection.execute(text(_CHECK))]
