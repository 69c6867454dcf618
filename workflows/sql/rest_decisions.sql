-- Decisions that are due, of calls that do not wait in a queue now: those of ended calls are never
-- looked at again, the others later.
WITH due AS (
    SELECT d.id, t.finished_at IS NOT NULL AS over,
           greatest(%(least)s::float8, (d.terms ->> 'max_wait_s')::float8) AS again_in
    FROM lmx.decisions d JOIN lmx.tasks t ON t.id = d.task_id
    WHERE d.again_at <= (SELECT clock_timestamp()) AND t.state <> 'ready'
    ORDER BY d.again_at LIMIT 500
    FOR NO KEY UPDATE OF d SKIP LOCKED
)
UPDATE lmx.decisions d
SET again_at = CASE WHEN NOT due.over
                    THEN clock_timestamp() + make_interval(secs => due.again_in) END
FROM due WHERE d.id = due.id
