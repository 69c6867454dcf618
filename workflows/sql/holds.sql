-- The holds on a device, oldest first.
SELECT id, command, bytes, granted_at IS NOT NULL, host, pid,
       extract(epoch FROM clock_timestamp() - asked_at)::float8
FROM lmx.vram_holds WHERE device_id = %(device)s ORDER BY id
