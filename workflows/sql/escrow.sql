-- Move the ceilings of new children out of their parents' budgets. The budgets' CHECK refuses
-- what the parent does not have. An existing child's budget is not paid twice. A derived budget is
-- given only of what the parent counts.
WITH given AS (
    SELECT c.id AS child, c.parent_id AS parent, d.unit, d.ceiling, d.reserve, d.lost
    FROM jsonb_to_recordset(%(ops)s::jsonb)
         AS d(id bigint, seq int, key text, unit text, ceiling bigint, reserve bigint, lost text,
              derived boolean)
    JOIN lmx.tasks p ON p.id = d.id AND p.lease_seq = d.seq AND p.worker_id IS NOT NULL
    JOIN lmx.tasks c ON c.parent_id = d.id AND c.key = d.key
    WHERE d.derived IS NOT TRUE
       OR EXISTS (SELECT FROM lmx.budgets b WHERE b.task_id = d.id AND b.unit = d.unit)
), opened AS (
    INSERT INTO lmx.budgets (task_id, unit, ceiling, reserve, lost)
    SELECT child, unit, ceiling, coalesce(reserve, 0), coalesce(lost, 'charge') FROM given
    ON CONFLICT DO NOTHING
    RETURNING task_id, unit, ceiling
)
UPDATE lmx.budgets b SET granted = b.granted + s.amount
FROM (SELECT g.parent, o.unit, sum(o.ceiling) AS amount
      FROM opened o JOIN given g ON g.child = o.task_id AND g.unit = o.unit
      GROUP BY g.parent, o.unit) s
WHERE b.task_id = s.parent AND b.unit = s.unit
