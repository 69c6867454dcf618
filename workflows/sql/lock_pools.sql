-- Lock the pools of a queue that may let a call start in `ahead` seconds, in the order of their ids, and
-- leave those alone that another process has locked: it claims from them right now. A pool's word on that
-- holds for the call that was its foremost then, until there is news or what it shares has changed, and
-- while the clock is not set back. Of `accounts` only, where given: those whose keys the worker has. The
-- clock is asked for once; what the rows lead to is read by the next statement, after the locks. A worker
-- that has been declared dead gets none. Rows back: the pool, the one whose limits it shares, its account,
-- whether any allowance is set; for pools that were not locked, in how many seconds to ask them.
WITH clock AS (
    SELECT clock_timestamp() AS now
), waiting AS (
    SELECT p.id, p.next_at,
           p.next_at IS NULL OR p.next_at <= clock.now + make_interval(secs => %(ahead)s)
           OR p.updated_at > clock.now
           OR p.updated_at < (SELECT s.updated_at FROM lmx.pools s WHERE s.id = p.shared_id)
           OR (p.state ->> 'head')::bigint <> (
               SELECT t.id FROM lmx.tasks t WHERE t.pool_id = p.id AND t.state = 'ready'
               ORDER BY t.rank, t.id LIMIT 1)
           OR EXISTS (SELECT FROM lmx.pool_news n WHERE n.pool_id IN (p.id, p.shared_id)) AS due
    FROM lmx.pools p, clock
    WHERE p.queue = %(queue)s AND (%(accounts)s::text[] IS NULL OR p.account = ANY(%(accounts)s))
      AND EXISTS (SELECT FROM lmx.tasks t WHERE t.pool_id = p.id AND t.state = 'ready')
      AND EXISTS (SELECT FROM lmx.workers w WHERE w.id = %(worker)s AND w.stopped_at IS NULL)
      AND NOT EXISTS (SELECT FROM lmx.queues q WHERE q.name = p.queue AND q.paused)
), locked AS (
    SELECT p.id, p.shared_id, p.provider || '/' || p.account AS account
    FROM lmx.pools p
    WHERE p.id IN (SELECT id FROM waiting WHERE due)
    ORDER BY p.id
    FOR NO KEY UPDATE OF p SKIP LOCKED
)
SELECT id, shared_id, account, EXISTS (SELECT FROM lmx.allowances a WHERE a.active), NULL::float8
FROM locked
UNION ALL
SELECT w.id, NULL, NULL, NULL,
       CASE WHEN w.due THEN 0
            ELSE extract(epoch FROM w.next_at - clock.now)::float8 - %(ahead)s END
FROM waiting w, clock
WHERE w.id NOT IN (SELECT id FROM locked)
