-- Lock the pools of a queue that may let a call start in `ahead` seconds, in the order of their ids, and
-- leave those alone that another process has locked: it claims from them right now. Of `accounts` only,
-- where given: those whose keys the worker has. The clock is asked for once; what the rows lead to is
-- read by the next statement, after the locks. A worker that has been declared dead gets none. Rows back: the pool, the one whose limits it shares, its account, whether
-- any allowance is set; for pools that were not locked, in how many seconds they may let a call start.
WITH clock AS (
    SELECT clock_timestamp() AS now
), waiting AS (
    SELECT p.id FROM lmx.pools p
    WHERE p.queue = %(queue)s AND (%(accounts)s::text[] IS NULL OR p.account = ANY(%(accounts)s))
      AND EXISTS (SELECT FROM lmx.tasks t WHERE t.pool_id = p.id AND t.state = 'ready')
      AND EXISTS (SELECT FROM lmx.workers w WHERE w.id = %(worker)s AND w.stopped_at IS NULL)
      AND NOT EXISTS (SELECT FROM lmx.queues q WHERE q.name = p.queue AND q.paused)
), locked AS (
    SELECT p.id, p.shared_id, p.provider || '/' || p.account AS account
    FROM lmx.pools p
    WHERE p.id IN (SELECT id FROM waiting)
      AND (p.next_at IS NULL
           OR p.next_at <= (SELECT now + make_interval(secs => %(ahead)s) FROM clock)
           OR EXISTS (SELECT FROM lmx.pool_news n WHERE n.pool_id IN (p.id, p.shared_id)))
    ORDER BY p.id
    FOR NO KEY UPDATE OF p SKIP LOCKED
)
SELECT id, shared_id, account, EXISTS (SELECT FROM lmx.allowances a WHERE a.active), NULL::float8
FROM locked
UNION ALL
SELECT p.id, NULL, NULL, NULL,
       coalesce(greatest(0, extract(epoch FROM p.next_at - clock.now)::float8), 0)
FROM lmx.pools p, clock
WHERE p.id IN (SELECT id FROM waiting) AND p.id NOT IN (SELECT id FROM locked)
