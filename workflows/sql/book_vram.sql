-- Book bytes of a device for the tasks just claimed, in the transaction that claims them.
INSERT INTO lmx.vram_leases (device_id, holder, kind, bytes, worker_id, task_id)
SELECT %(device)s, 'task:' || d.task_id, 'context', d.bytes, %(worker)s, d.task_id
FROM jsonb_to_recordset(%(ops)s::jsonb) AS d(task_id bigint, bytes bigint)
ON CONFLICT (device_id, holder, kind) DO UPDATE
SET bytes = excluded.bytes, worker_id = excluded.worker_id, at = now()
