-- All pools as they are now, each on its own clock: limits, state and the news that no claim has taken yet;
-- how many calls wait and are on their way (in batches, too); in how many seconds the next may start, and
-- what for; how many wait for the end of an allowance's period, and for which; whether it is served.
WITH news AS (
    SELECT * FROM lmx.pool_news
), clock AS (
    SELECT clock_timestamp() AS now
)
SELECT p.id, p.name, p.queue, p.provider, p.model_group, p.limits, p.state, p.clock_rate,
       own.now, told.news,
       (SELECT count(*) FROM lmx.tasks t WHERE t.pool_id = p.id AND t.state = 'ready'),
       (SELECT count(*) FROM lmx.tasks t JOIN lmx.workers w ON w.id = t.worker_id
        WHERE t.state = 'leased' AND t.pool_id = p.id)
           + (SELECT count(*) FROM lmx.batches b JOIN lmx.batch_calls m ON m.batch_id = b.id
              WHERE b.pool_id = p.id AND b.next_at IS NOT NULL AND m.outcome IS NULL),
       extract(epoch FROM p.next_at - clock_timestamp())::float8, p.waits_for,
       (SELECT count(*) FROM lmx.calls c JOIN lmx.tasks t ON t.id = c.task_id
        WHERE c.deferred IS NOT NULL AND c.pool_id = p.id AND t.state = 'scheduled'),
       (SELECT min(c.deferred) FROM lmx.calls c JOIN lmx.tasks t ON t.id = c.task_id
        WHERE c.deferred IS NOT NULL AND c.pool_id = p.id AND t.state = 'scheduled'),
-- :include attended
FROM lmx.pools p CROSS JOIN clock
-- :include own_clock
ORDER BY p.name
