-- Lock the pools of a queue that may let a call start now, in the order of their ids. The clock is
-- asked for once; what the rows lead to is read by the next statement, after the locks. A worker that
-- has been declared dead gets none. Rows back: the pool, the one whose limits it shares, its account,
-- and whether any allowance is set.
SELECT p.id, p.shared_id, p.provider || '/' || p.account,
       EXISTS (SELECT FROM lmx.allowances a WHERE a.active)
FROM lmx.pools p
WHERE p.queue = %(queue)s
  AND (p.next_at IS NULL OR p.next_at <= (SELECT clock_timestamp())
       OR EXISTS (SELECT FROM lmx.pool_news n WHERE n.pool_id IN (p.id, p.shared_id)))
  AND EXISTS (SELECT FROM lmx.tasks t WHERE t.pool_id = p.id AND t.state = 'ready')
  AND EXISTS (SELECT FROM lmx.workers w WHERE w.id = %(worker)s AND w.stopped_at IS NULL)
  AND NOT EXISTS (SELECT FROM lmx.queues q WHERE q.name = p.queue AND q.paused)
ORDER BY p.id
FOR NO KEY UPDATE OF p
