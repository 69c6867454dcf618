-- Lock the foremost ready model calls of a queue, for the planner to choose from.
SELECT t.id, t.input ->> 'model', (t.input ->> 'n_ctx')::integer
FROM lmx.tasks t
WHERE t.queue = %(queue)s AND t.state = 'ready' AND t.message IS NULL
  AND NOT EXISTS (SELECT FROM lmx.queues q WHERE q.name = %(queue)s AND q.paused)
  AND NOT EXISTS (SELECT FROM lmx.runs r WHERE r.id = t.root_id AND r.paused)
ORDER BY t.rank, t.id
LIMIT %(limit)s
FOR NO KEY UPDATE OF t SKIP LOCKED
