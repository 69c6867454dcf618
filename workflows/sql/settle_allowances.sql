-- Settle what leased attempts hold of allowances: as settle.sql does, and a cost that nobody knows
-- is all that was held. The periods' sums follow with the next claim, so no period is locked here.
WITH named AS (
    SELECT * FROM jsonb_to_recordset(%(ops)s::jsonb) AS d(id bigint, seq int, unit text, amount bigint)
), settled AS (
    UPDATE lmx.allowance_holds h SET cost = least(coalesce(d.amount, h.amount), h.amount)
    FROM named d JOIN lmx.tasks t ON t.id = d.id
        AND (t.lease_seq = d.seq AND t.worker_id IS NOT NULL OR t.finished_at IS NOT NULL)
    WHERE h.task_id = d.id AND h.lease_seq = d.seq AND h.cost IS NULL
      AND (h.unit = d.unit OR d.unit = '*'
           AND NOT EXISTS (SELECT FROM named n WHERE n.id = d.id AND n.unit = h.unit))
    RETURNING h.period_id, h.task_id, h.lease_seq, h.cost, d.amount IS NULL AS unknown
)
INSERT INTO lmx.allowance_charges (period_id, task_id, lease_seq, amount, reason)
SELECT period_id, task_id, lease_seq, cost, CASE WHEN unknown THEN 'unknown' ELSE 'settled' END
FROM settled WHERE cost > 0
