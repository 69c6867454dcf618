-- The foremost calls that wait for a batch in a locked pool, locked: id, model, costs, bytes of their
-- input with its files in base64.
SELECT t.id, c.model, c.costs,
       octet_length(t.input::text) + coalesce((
           SELECT sum(f.size * 4 / 3) FROM lmx.task_files tf JOIN lmx.files f ON f.sha256 = tf.sha256
           WHERE tf.task_id = t.id), 0)::bigint
FROM lmx.tasks t JOIN lmx.calls c ON c.task_id = t.id
WHERE t.pool_id = %(pool)s AND t.state = 'ready' AND t.message IS NULL
  AND NOT EXISTS (SELECT FROM lmx.runs r WHERE r.id = t.root_id AND r.paused)
ORDER BY t.rank, t.id
LIMIT %(limit)s
FOR NO KEY UPDATE OF t SKIP LOCKED
