-- Read locked pools of calls that wait for a batch, on their own clocks: the state, how many wait (counted
-- up to `enough`), the news (which is taken), and the batches, calls and tokens that the account has at
-- the provider.
WITH news AS (
    DELETE FROM lmx.pool_news WHERE pool_id = ANY(%(ids)s::integer[]) RETURNING *
), clock AS (
    SELECT clock_timestamp() AS now
), queued AS (
    SELECT array[count(*), coalesce(sum(b.calls), 0), coalesce(sum(b.tokens), 0)]::bigint[] AS sums
    FROM lmx.batches b JOIN lmx.pools p ON p.id = b.pool_id
    WHERE b.next_at IS NOT NULL AND p.queue = %(queue)s
)
SELECT p.id, p.state, p.clock_rate,
       extract(epoch FROM p.clock_origin)::float8
           + extract(epoch FROM clock.now - p.clock_origin)::float8 * p.clock_rate AS now,
       (SELECT count(*) FROM (
            SELECT FROM lmx.tasks t
            WHERE t.pool_id = p.id AND t.state = 'ready' AND t.message IS NULL
              AND NOT EXISTS (SELECT FROM lmx.runs r WHERE r.id = t.root_id AND r.paused)
            LIMIT %(enough)s) few) AS ready,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(
                   n.kind, extract(epoch FROM p.clock_origin)::float8
                       + extract(epoch FROM n.at - p.clock_origin)::float8 * p.clock_rate,
                   n.task_id, n.data) ORDER BY n.id), '[]')
        FROM news n WHERE n.pool_id = p.id) AS news,
       queued.sums
FROM lmx.pools p, clock, queued
WHERE p.id = ANY(%(ids)s::integer[])
ORDER BY p.id
