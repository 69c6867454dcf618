-- Settle all holds of tasks whose attempts have an unknown outcome: of budgets as these say, of
-- allowances as if all had been spent. What is in a batch at a provider keeps its holds until the batch
-- has ended: then its outcome is known.
WITH lapsed AS (
    UPDATE lmx.allowance_holds SET cost = amount
    WHERE task_id = ANY(%(ids)s::bigint[]) AND cost IS NULL
      AND NOT EXISTS (SELECT FROM lmx.batch_calls m WHERE m.task_id = allowance_holds.task_id
                        AND m.lease_seq = allowance_holds.lease_seq AND m.outcome IS NULL)
    RETURNING period_id, task_id, lease_seq, amount
), noted AS (
    INSERT INTO lmx.allowance_charges (period_id, task_id, lease_seq, amount, reason)
    SELECT period_id, task_id, lease_seq, amount, 'unknown' FROM lapsed WHERE amount > 0
), lost AS (
    DELETE FROM lmx.holds h USING lmx.budgets b
    WHERE h.task_id = ANY(%(ids)s::bigint[]) AND b.task_id = h.task_id AND b.unit = h.unit
      AND NOT EXISTS (SELECT FROM lmx.batch_calls m WHERE m.task_id = h.task_id
                        AND m.lease_seq = h.lease_seq AND m.outcome IS NULL)
    RETURNING h.task_id, h.unit, h.lease_seq, h.amount,
              CASE b.lost WHEN 'charge' THEN h.amount ELSE 0 END AS cost
), paid AS (
    UPDATE lmx.budgets b SET held = b.held - l.amount, spent = b.spent + l.cost
    FROM lost l WHERE b.task_id = l.task_id AND b.unit = l.unit
)
INSERT INTO lmx.charges (run_id, task_id, lease_seq, unit, amount, reason)
SELECT t.root_id, l.task_id, l.lease_seq, l.unit, l.cost, 'unknown'
FROM lost l JOIN lmx.tasks t ON t.id = l.task_id WHERE l.cost > 0
