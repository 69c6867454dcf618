-- Prolong this worker's lease. Row back: whether it had run out. No row back: somebody has declared
-- the worker dead; it must stop.
WITH mine AS (
    SELECT id, expires_at < clock_timestamp() AS late FROM lmx.workers
    WHERE id = %(worker)s AND stopped_at IS NULL FOR NO KEY UPDATE
)
UPDATE lmx.workers w SET seen_at = clock_timestamp(),
       expires_at = clock_timestamp() + make_interval(secs => %(lease)s::float8)
FROM mine WHERE w.id = mine.id
RETURNING mine.late
