-- Take the batch of an account that has been due the longest: one that nobody looks after, or somebody
-- who has died (`inherited`). Should this worker fail at it, too, it is due again later and later.
-- `since` is when it was made, on its pool's clock.
WITH due AS (
    SELECT b.id, b.worker_id FROM lmx.batches b JOIN lmx.pools p ON p.id = b.pool_id
    WHERE b.next_at <= (SELECT clock_timestamp()) AND p.queue = %(queue)s
      AND (b.worker_id IS NULL OR b.worker_id = %(worker)s
           OR EXISTS (SELECT FROM lmx.workers w
                      WHERE w.id = b.worker_id AND w.stopped_at IS NOT NULL))
      AND EXISTS (SELECT FROM lmx.workers w WHERE w.id = %(worker)s AND w.stopped_at IS NULL)
    ORDER BY b.next_at, b.id
    LIMIT 1
    FOR NO KEY UPDATE OF b SKIP LOCKED
)
UPDATE lmx.batches b
SET worker_id = %(worker)s, deliveries = b.deliveries + 1,
    next_at = clock_timestamp() + make_interval(secs => least(2.0 ^ b.deliveries, 300.0))
FROM due, lmx.pools p
WHERE b.id = due.id AND p.id = b.pool_id
RETURNING b.id, b.pool_id, b.model, b.token, b.state, b.provider_id, b.calls, b.deliveries,
          b.sent_at IS NOT NULL AS sent, due.worker_id IS NOT NULL AS inherited,
          extract(epoch FROM p.clock_origin)::float8
              + p.clock_rate * extract(epoch FROM b.created_at - p.clock_origin)::float8 AS since,
          p.clock_rate
