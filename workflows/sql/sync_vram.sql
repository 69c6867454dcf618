-- Make a device's bookings agree with its engine's ledger. Only calls that the engine has not taken
-- over yet (`pending`) keep what they booked at their claim; the ledger has the bytes of the others.
WITH ledger AS (
    SELECT * FROM jsonb_to_recordset(%(ledger)s::jsonb) AS l(holder text, kind text, bytes bigint)
), gone AS (
    DELETE FROM lmx.vram_leases v
    WHERE v.device_id = %(device)s
      AND CASE WHEN v.task_id IS NULL
               THEN NOT EXISTS (SELECT FROM ledger l WHERE l.holder = v.holder AND l.kind = v.kind)
               ELSE v.task_id <> ALL(%(pending)s::bigint[]) END
), kept AS (
    INSERT INTO lmx.vram_leases (device_id, holder, kind, bytes, worker_id)
    SELECT %(device)s, holder, kind, bytes, %(worker)s FROM ledger
    ON CONFLICT (device_id, holder, kind) DO UPDATE
    SET bytes = excluded.bytes, worker_id = excluded.worker_id
)
UPDATE lmx.devices
SET worker_id = %(worker)s, snapshot = %(snapshot)s::jsonb, seen_at = clock_timestamp()
WHERE id = %(device)s
