-- Settle the holds of leased attempts: `amount` is what the attempt cost, NULL when nobody knows
-- (then the budget's rule for lost attempts decides). Never more than was held. The unit `*` stands
-- for all that the attempt holds in units not named. A finished task still holds something only for an
-- attempt that goes on in a batch.
WITH named AS (
    SELECT * FROM jsonb_to_recordset(%(ops)s::jsonb) AS d(id bigint, seq int, unit text, amount bigint)
), given AS (
    SELECT d.id, h.unit, t.root_id, d.seq, h.amount AS held, d.amount IS NULL AS unknown,
           least(coalesce(d.amount, CASE b.lost WHEN 'charge' THEN h.amount ELSE 0 END), h.amount)
               AS cost
    FROM named d
    JOIN lmx.tasks t ON t.id = d.id
        AND (t.lease_seq = d.seq AND t.worker_id IS NOT NULL OR t.finished_at IS NOT NULL)
    JOIN lmx.holds h ON h.task_id = d.id AND h.lease_seq = d.seq
        AND (h.unit = d.unit OR d.unit = '*'
             AND NOT EXISTS (SELECT FROM named n WHERE n.id = d.id AND n.unit = h.unit))
    JOIN lmx.budgets b ON b.task_id = d.id AND b.unit = h.unit
), freed AS (
    DELETE FROM lmx.holds h USING given g WHERE h.task_id = g.id AND h.unit = g.unit
), paid AS (
    UPDATE lmx.budgets b SET held = b.held - g.held, spent = b.spent + g.cost
    FROM given g WHERE b.task_id = g.id AND b.unit = g.unit
)
INSERT INTO lmx.charges (run_id, task_id, lease_seq, unit, amount, reason)
SELECT root_id, id, seq, unit, cost, CASE WHEN unknown THEN 'unknown' ELSE 'settled' END
FROM given WHERE cost > 0
