-- The foremost calls that wait for the end of an allowance's period, and that no route has placed, in pools of
-- model groups that several accounts have.
SELECT t.id, p.provider || '/' || p.model_group, c.costs
FROM lmx.calls c JOIN lmx.tasks t ON t.id = c.task_id JOIN lmx.pools p ON p.id = t.pool_id
WHERE c.deferred IS NOT NULL AND t.state = 'scheduled' AND t.run_at < 'infinity'
  AND strpos(p.queue, '/') = 0
  AND EXISTS (SELECT FROM lmx.pools o
              WHERE o.provider = p.provider AND o.model_group = p.model_group AND o.account <> p.account)
  AND NOT EXISTS (SELECT FROM lmx.decisions d WHERE d.task_id = t.id)
ORDER BY t.rank, t.id LIMIT %(most)s
FOR NO KEY UPDATE OF t SKIP LOCKED
