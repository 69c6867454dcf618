-- Hold of locked periods what the calls may spend that were just leased to this worker. The periods'
-- CHECK refuses what they do not have.
WITH held AS (
    INSERT INTO lmx.allowance_holds (task_id, lease_seq, period_id, unit, amount)
    SELECT t.id, t.lease_seq, d.period, d.unit, d.amount
    FROM jsonb_to_recordset(%(holds)s::jsonb) AS d(task bigint, period bigint, unit text, amount bigint)
    JOIN lmx.tasks t ON t.id = d.task AND t.worker_id = %(worker)s
    RETURNING period_id, amount
)
UPDATE lmx.allowance_periods p SET held = p.held + h.amount
FROM (SELECT period_id, sum(amount) AS amount FROM held GROUP BY period_id) h
WHERE p.id = h.period_id
