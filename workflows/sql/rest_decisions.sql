-- Decisions that are due, of calls that wait neither in a queue nor for an allowance: those of ended
-- calls are never looked at again, the others later.
WITH due AS (
    SELECT d.id, t.finished_at IS NOT NULL AS over,
           greatest(%(least)s::float8, (d.terms ->> 'max_wait_s')::float8) AS again_in
    FROM lmx.decisions d JOIN lmx.tasks t ON t.id = d.task_id
    WHERE d.again_at <= (SELECT clock_timestamp()) AND t.state <> 'ready'
      AND NOT (t.state = 'scheduled' AND t.run_at < 'infinity' AND EXISTS (
          SELECT FROM lmx.calls c WHERE c.task_id = t.id AND c.deferred IS NOT NULL))
    ORDER BY d.again_at LIMIT 500
    FOR NO KEY UPDATE OF d SKIP LOCKED
)
UPDATE lmx.decisions d
SET again_at = CASE WHEN NOT due.over
                    THEN clock_timestamp() + make_interval(secs => due.again_in) END
FROM due WHERE d.id = due.id
