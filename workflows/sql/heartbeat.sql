-- Prolong this worker's lease. No row back: somebody declared it dead; it must stop.
UPDATE lmx.workers SET seen_at = clock_timestamp(),
       expires_at = clock_timestamp() + make_interval(secs => %(lease)s::float8)
WHERE id = %(worker)s AND stopped_at IS NULL
RETURNING id
