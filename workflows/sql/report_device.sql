-- Write down what a device's worker says of it.
UPDATE lmx.devices
SET worker_id = %(worker)s, snapshot = %(snapshot)s::jsonb, seen_at = clock_timestamp()
WHERE id = %(device)s
