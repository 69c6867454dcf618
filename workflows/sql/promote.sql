-- Make due tasks ready: delayed ones, retries, sleepers, waits that timed out. One row back:
-- how many, and in how many seconds the next one is due (NULL: none waits). Those of a paused run
-- are shelved until it is resumed: the lock on its row keeps that from happening meanwhile. The
-- time is asked for once: a volatile function in the condition would have the whole index read.
WITH due AS (
    SELECT id, root_id FROM lmx.tasks
    WHERE run_at <= (SELECT clock_timestamp()) AND state IN ('scheduled', 'parked')
    ORDER BY run_at LIMIT 1000
    FOR NO KEY UPDATE SKIP LOCKED
), paused AS (
    SELECT id FROM lmx.runs WHERE paused AND id IN (SELECT root_id FROM due) FOR SHARE
), woken AS (
    UPDATE lmx.tasks t
    SET state = CASE WHEN p.id IS NULL THEN 'ready' ELSE 'scheduled' END::lmx.task_state,
        run_at = CASE WHEN p.id IS NULL THEN NULL ELSE 'infinity'::timestamptz END,
        waiting = 0, waiting_for = NULL,
        rank = CASE WHEN t.state = 'parked'
                    THEN (SELECT q.vtime FROM lmx.queues q WHERE q.name = t.queue)
                    ELSE t.rank END
    FROM due LEFT JOIN paused p ON p.id = due.root_id
    WHERE t.id = due.id
    RETURNING t.queue, t.state
), told AS (
    SELECT pg_notify('lmx:' || queue, '')
    FROM (SELECT DISTINCT queue FROM woken WHERE state = 'ready') w
)
SELECT (SELECT count(*) FROM woken) AS woken,
       (SELECT extract(epoch FROM min(run_at) - clock_timestamp())::float8 FROM lmx.tasks
        WHERE run_at > (SELECT clock_timestamp()) AND run_at < 'infinity'
           AND state IN ('scheduled', 'parked')) AS next_in,
       (SELECT count(*) FROM told) AS told
