-- Make a device's bookings equal to `bookings`. The device's row is locked.
WITH told AS (
    SELECT * FROM jsonb_to_recordset(%(bookings)s::jsonb)
        AS b(holder text, kind text, bytes bigint, task_id bigint)
), gone AS (
    DELETE FROM lmx.vram_leases v
    WHERE v.device_id = %(device)s
      AND NOT EXISTS (SELECT FROM told t WHERE t.holder = v.holder AND t.kind = v.kind)
)
INSERT INTO lmx.vram_leases AS v (device_id, holder, kind, bytes, worker_id, task_id)
SELECT %(device)s, holder, kind, bytes, %(worker)s, task_id FROM told
ON CONFLICT (device_id, holder, kind) DO UPDATE
SET bytes = excluded.bytes, worker_id = excluded.worker_id, at = now()
WHERE v.bytes <> excluded.bytes OR v.worker_id IS DISTINCT FROM excluded.worker_id
