-- Give leased tasks back as they were. `lost` ones had started and keep their delivery count;
-- the others were never begun.
UPDATE lmx.tasks t
SET state = 'ready', worker_id = NULL,
    deliveries = CASE WHEN d.lost THEN t.deliveries ELSE t.deliveries - 1 END
FROM jsonb_to_recordset(%(ops)s::jsonb) AS d(op int, id bigint, seq int, lost boolean)
WHERE t.id = d.id AND t.lease_seq = d.seq AND t.state = 'leased'
RETURNING d.op, pg_notify('lmx:' || t.queue, '')
