-- Read locked pools on their own clocks: the limits, the state, the news (which is taken), and the
-- foremost ready calls, locked, as [id, model, costs], and those that have been on their way for
-- longer than its shortest limit looks back, as [charged_at, costs, heard_at], which count for what
-- their pool shares, too; by how much the clock was set back since the pool was written. The first pool is
-- the one whose call waits longest.
WITH news AS (
    DELETE FROM lmx.pool_news WHERE pool_id = ANY(%(ids)s::integer[]) RETURNING *
), clock AS (
    SELECT clock_timestamp() AS now
), waiting AS (
    SELECT p.id AS pool_id, c.*
    FROM unnest(%(ids)s::integer[]) AS p(id), LATERAL (
        SELECT t.id, t.rank, calls.model, calls.costs
        FROM lmx.tasks t JOIN lmx.calls ON calls.task_id = t.id
        WHERE t.pool_id = p.id AND t.state = 'ready' AND t.message IS NULL
          AND NOT EXISTS (SELECT FROM lmx.runs r WHERE r.id = t.root_id AND r.paused)
        ORDER BY t.rank, t.id
        LIMIT %(limit)s
        FOR NO KEY UPDATE OF t SKIP LOCKED
    ) c
), flying AS (
    SELECT own.id, own.shared_id, c.charged_at, c.charged,
           (t.progress ->> 'heard_s')::float8 AS heard_s
    FROM lmx.tasks t JOIN lmx.calls c ON c.task_id = t.id JOIN lmx.pools own ON own.id = t.pool_id
    WHERE t.state = 'leased' AND t.worker_id IS NOT NULL AND c.charged_at IS NOT NULL
      AND (own.id = ANY(%(ids)s::integer[]) OR own.shared_id = ANY(%(ids)s::integer[]))
)
SELECT p.id, p.name, p.shared_id, p.provider || '/' || p.account, p.limits, p.state, p.clock_rate,
       own.now, told.news,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(w.id, w.model, w.costs) ORDER BY w.rank, w.id), '[]')
        FROM waiting w WHERE w.pool_id = p.id) AS waiting,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(
                   f.charged_at, f.charged, f.charged_at + f.heard_s * p.clock_rate)), '[]')
        FROM flying f
        WHERE p.id IN (f.id, f.shared_id) AND f.charged_at
            <= own.now - (SELECT coalesce(min(coalesce((l ->> 'period_s')::float8, 60)), 0)
                          FROM jsonb_array_elements(p.limits) l)) AS flying,
       greatest(0, extract(epoch FROM p.updated_at - clock.now)::float8) * p.clock_rate AS set_back
FROM lmx.pools p CROSS JOIN clock
-- :include own_clock
WHERE p.id = ANY(%(ids)s::integer[])
ORDER BY (SELECT min(w.rank) FROM waiting w WHERE w.pool_id = p.id) NULLS LAST, p.id
