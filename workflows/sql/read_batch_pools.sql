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
       own.now,
       (SELECT count(*) FROM (
            SELECT FROM lmx.tasks t
            WHERE t.pool_id = p.id AND t.state = 'ready' AND t.message IS NULL
              AND NOT EXISTS (SELECT FROM lmx.runs r WHERE r.id = t.root_id AND r.paused)
            LIMIT %(enough)s) few) AS ready,
       told.news,
       queued.sums
FROM lmx.pools p CROSS JOIN clock CROSS JOIN queued
-- :include own_clock
WHERE p.id = ANY(%(ids)s::integer[])
ORDER BY p.id
