-- Make a device's bookings agree with its engine's ledger. Calls that the engine has not taken over
-- yet (`pending`) keep what they booked at their claim; the bytes of the others are in the ledger.
WITH ledger AS (
    SELECT * FROM jsonb_to_recordset(%(ledger)s::jsonb) AS l(holder text, kind text, bytes bigint)
), gone AS (
    DELETE FROM lmx.vram_leases v
    WHERE v.device_id = %(device)s
      AND CASE WHEN v.task_id IS NULL
               THEN NOT EXISTS (SELECT FROM ledger l WHERE l.holder = v.holder AND l.kind = v.kind)
               ELSE NOT EXISTS (SELECT FROM lmx.tasks t WHERE t.id = v.task_id
                                AND t.state = 'leased' AND t.worker_id = %(worker)s) END
), taken_over AS (
    UPDATE lmx.vram_leases SET bytes = 0
    WHERE device_id = %(device)s AND task_id <> ALL(%(pending)s::bigint[]) AND bytes > 0
), kept AS (
    INSERT INTO lmx.vram_leases (device_id, holder, kind, bytes, worker_id)
    SELECT %(device)s, holder, kind, bytes, %(worker)s FROM ledger
    ON CONFLICT (device_id, holder, kind) DO UPDATE
    SET bytes = excluded.bytes, worker_id = excluded.worker_id
)
UPDATE lmx.devices
SET worker_id = %(worker)s, snapshot = %(snapshot)s::jsonb, seen_at = clock_timestamp()
WHERE id = %(device)s
