-- The calls of a batch whose outcome is not recorded: those among `ids`, or (NULL) the first of them.
-- The first columns are those of a lease as claim.sql returns it; `waits` tells whether the task still
-- waits for this attempt, which a cancelled one does not.
SELECT t.id, m.lease_seq, t.root_id, t.parent_id, t.role::text, t.name, t.queue, t.key,
       t.nesting, t.priority, t.deliveries, t.attempts, t.max_attempts, t.time_limit_ms,
       extract(epoch FROM t.deadline)::float8 AS deadline,
       extract(epoch FROM t.started_at)::float8 AS claimed_at,
       t.budgeted OR t.pool_id IS NOT NULL, true AS affordable, NULL::bytea AS message,
       CASE WHEN %(inputs)s THEN t.input::text END,
       t.state = 'parked' AND t.lease_seq = m.lease_seq AS waits
FROM lmx.batch_calls m JOIN lmx.tasks t ON t.id = m.task_id
WHERE m.batch_id = %(batch)s AND m.outcome IS NULL
  AND (%(ids)s::bigint[] IS NULL OR m.task_id = ANY(%(ids)s::bigint[]))
ORDER BY t.id
LIMIT %(limit)s
