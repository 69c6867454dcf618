-- The decision that is due for longest of a call that waits, in its queue or for an allowance, locked;
-- one process at a time looks, so that no two move calls into the same room.
SELECT d.id, d.task_id, d.rule, d.rules_version, d.model, d.features, d.terms, d.models,
       t.parent_id, t.root_id, t.queue, t.pool_id, t.rank, t.input
FROM lmx.decisions d JOIN lmx.tasks t ON t.id = d.task_id
WHERE d.again_at <= (SELECT clock_timestamp())
  AND (t.state = 'ready' OR t.state = 'scheduled' AND t.run_at < 'infinity' AND EXISTS (
           SELECT FROM lmx.calls c WHERE c.task_id = t.id AND c.deferred IS NOT NULL))
  AND pg_try_advisory_xact_lock(%(lock)s::bigint)
ORDER BY d.again_at LIMIT 1
FOR NO KEY UPDATE OF d SKIP LOCKED
