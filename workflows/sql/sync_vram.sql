-- Make a device's bookings agree with what its worker runs: weights as its engine holds them, and
-- no task that is not leased by it any more.
WITH gone AS (
    DELETE FROM lmx.vram_leases v
    WHERE v.device_id = %(device)s
      AND CASE WHEN v.task_id IS NULL
               THEN v.holder NOT IN (SELECT w.holder FROM jsonb_to_recordset(%(weights)s::jsonb)
                                     AS w(holder text))
               ELSE NOT EXISTS (SELECT FROM lmx.tasks t WHERE t.id = v.task_id
                                AND t.state = 'leased' AND t.worker_id = %(worker)s) END
), kept AS (
    INSERT INTO lmx.vram_leases (device_id, holder, kind, bytes, worker_id)
    SELECT %(device)s, w.holder, 'weights', w.bytes, %(worker)s
    FROM jsonb_to_recordset(%(weights)s::jsonb) AS w(holder text, bytes bigint)
    ON CONFLICT (device_id, holder, kind) DO UPDATE
    SET bytes = excluded.bytes, worker_id = excluded.worker_id
)
UPDATE lmx.devices
SET worker_id = %(worker)s, snapshot = %(snapshot)s::jsonb, seen_at = clock_timestamp()
WHERE id = %(device)s
