-- Lock the foremost ready model calls of a queue, for the planner to choose from. A call of a
-- session that another device holds is left to that device for a moment, when there are several.
SELECT t.id, t.input ->> 'model', (t.input ->> 'n_ctx')::integer, t.input ->> 'kv_type'
FROM lmx.tasks t
WHERE t.queue = %(queue)s AND t.state = 'ready' AND t.message IS NULL
  AND NOT EXISTS (SELECT FROM lmx.queues q WHERE q.name = %(queue)s AND q.paused)
  AND NOT EXISTS (SELECT FROM lmx.runs r WHERE r.id = t.root_id AND r.paused)
  AND (%(alone)s OR t.input -> 'session' IS NULL
       OR t.created_at < clock_timestamp() - %(patience)s * interval '1 second'
       OR NOT EXISTS (
           SELECT FROM lmx.devices d JOIN lmx.workers w ON w.id = d.worker_id
           WHERE d.id <> %(device)s AND d.snapshot -> 'sessions' ? (t.input ->> 'session')
             AND w.stopped_at IS NULL AND w.expires_at > clock_timestamp())
       OR EXISTS (
           SELECT FROM lmx.devices d
           WHERE d.id = %(device)s AND d.snapshot -> 'sessions' ? (t.input ->> 'session')))
ORDER BY t.rank, t.id
LIMIT %(limit)s
FOR NO KEY UPDATE OF t SKIP LOCKED
