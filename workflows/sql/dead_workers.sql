-- Declare workers dead whose lease has expired or whose id is in `gone`. Rows back: their ids.
UPDATE lmx.workers SET stopped_at = clock_timestamp()
WHERE id IN (SELECT id FROM lmx.workers
             WHERE stopped_at IS NULL
               AND (expires_at < clock_timestamp() OR id = ANY(%(gone)s::bigint[]))
             ORDER BY id FOR UPDATE SKIP LOCKED)
RETURNING id
