-- The pools of model groups that several accounts have: whether calls may start there, as far as worker
-- and breaker are concerned, and how many wait that no route has placed, counted up to a thousand.
SELECT p.id, p.name, p.provider || '/' || p.account, p.provider || '/' || p.model_group,
-- :include attended
       AND NOT
-- :include broken
       AS good,
       (SELECT count(*) FROM (
           SELECT FROM lmx.tasks t WHERE t.pool_id = p.id AND t.state = 'ready'
              AND NOT EXISTS (SELECT FROM lmx.decisions d WHERE d.task_id = t.id) LIMIT 1000) w) AS ready
FROM lmx.pools p
WHERE p.model_group <> '*' AND strpos(p.queue, '/') = 0
  AND EXISTS (SELECT FROM lmx.pools o
              WHERE o.provider = p.provider AND o.model_group = p.model_group AND o.account <> p.account)
ORDER BY p.id
