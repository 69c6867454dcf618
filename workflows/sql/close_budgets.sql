-- Close the budgets of finished tasks: what they did not spend goes back to their parents. One
-- with a hold or an open child stays open. Rows back: the parents that got something back.
WITH shut AS (
    UPDATE lmx.budgets b SET closed = true
    FROM lmx.tasks t
    WHERE b.task_id = ANY(%(ids)s::bigint[]) AND NOT b.closed AND b.granted = 0 AND b.held = 0
      AND t.id = b.task_id AND t.finished_at IS NOT NULL
    RETURNING t.parent_id, b.unit, b.ceiling, b.spent
)
UPDATE lmx.budgets p SET granted = p.granted - s.ceiling, spent = p.spent + s.spent
FROM (SELECT parent_id, unit, sum(ceiling) AS ceiling, sum(spent) AS spent
      FROM shut GROUP BY parent_id, unit) s
WHERE p.task_id = s.parent_id AND p.unit = s.unit
RETURNING p.task_id
