-- Open closed budgets again: their ceilings move out of the parents' budgets once more. The
-- budgets' CHECK refuses what the parents no longer have.
WITH opened AS (
    UPDATE lmx.budgets b SET closed = false
    FROM lmx.tasks t
    WHERE b.task_id = ANY(%(ids)s::bigint[]) AND b.closed AND t.id = b.task_id
    RETURNING t.parent_id, b.unit, b.ceiling, b.spent
)
UPDATE lmx.budgets p SET granted = p.granted + s.ceiling, spent = p.spent - s.spent
FROM (SELECT parent_id, unit, sum(ceiling) AS ceiling, sum(spent) AS spent
      FROM opened GROUP BY parent_id, unit) s
WHERE p.task_id = s.parent_id AND p.unit = s.unit
