-- What waits in each pool before a newcomer, or in the pool `pool` before its call of the rank
-- `rank`: how many calls, counted up to 10,000, and the costs of the foremost 50; and whether a live
-- worker serves the pool and has the key of its account, and its queue is not paused.
SELECT p.id, (SELECT coalesce(jsonb_agg(c.costs), '[]') FROM lmx.calls c JOIN (
           SELECT t.id FROM lmx.tasks t
           WHERE t.pool_id = p.id AND t.state = 'ready'
             AND (t.rank < %(rank)s::float8 OR p.id IS DISTINCT FROM %(pool)s::integer)
           ORDER BY t.rank, t.id LIMIT 50) foremost ON foremost.id = c.task_id) AS sample,
       (SELECT count(*) FROM (
           SELECT FROM lmx.tasks t
           WHERE t.pool_id = p.id AND t.state = 'ready'
             AND (t.rank < %(rank)s::float8 OR p.id IS DISTINCT FROM %(pool)s::integer) LIMIT 10000) w) AS ahead,
-- :include attended
       AND NOT EXISTS (SELECT FROM lmx.queues q WHERE q.name = p.queue AND q.paused) AS attended
FROM lmx.pools p
