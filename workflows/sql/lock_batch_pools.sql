-- Lock an account's pools with calls that wait for a batch, in the order of their ids. A worker that has
-- been declared dead gets none. Rows back: the pool, its account, and whether any allowance is set.
SELECT p.id, p.provider || '/' || p.account, EXISTS (SELECT FROM lmx.allowances a WHERE a.active)
FROM lmx.pools p
WHERE p.queue = %(queue)s
  AND EXISTS (SELECT FROM lmx.tasks t WHERE t.pool_id = p.id AND t.state = 'ready')
  AND EXISTS (SELECT FROM lmx.workers w WHERE w.id = %(worker)s AND w.stopped_at IS NULL)
  AND NOT EXISTS (SELECT FROM lmx.queues q WHERE q.name = p.queue AND q.paused)
ORDER BY p.id
FOR NO KEY UPDATE OF p
