-- Give leased tasks back as they were. `lost` ones had started and keep their delivery count, or
-- begin a new one if they have `progressed`; the others were never begun, so what their claim held
-- is released.
WITH back AS (
    UPDATE lmx.tasks t
    SET state = 'ready', worker_id = NULL,
        deliveries = CASE WHEN d.progressed THEN 0 WHEN d.lost THEN t.deliveries
                          ELSE t.deliveries - 1 END
    FROM jsonb_to_recordset(%(ops)s::jsonb)
         AS d(op int, id bigint, seq int, lost boolean, progressed boolean)
    WHERE t.id = d.id AND t.lease_seq = d.seq AND t.worker_id IS NOT NULL
    RETURNING d.op, d.lost, t.id, t.queue
), unspent AS (
    UPDATE lmx.allowance_holds h SET cost = 0
    FROM back WHERE h.task_id = back.id AND NOT back.lost AND h.cost IS NULL
), freed AS (
    DELETE FROM lmx.holds h USING back WHERE h.task_id = back.id AND NOT back.lost
    RETURNING h.task_id, h.unit, h.amount
), released AS (
    UPDATE lmx.budgets b SET held = b.held - f.amount
    FROM freed f WHERE b.task_id = f.task_id AND b.unit = f.unit
)
SELECT op, pg_notify('lmx:' || queue, '') FROM back
