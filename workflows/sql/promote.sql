-- Make due tasks ready: delayed ones, retries, sleepers, waits that timed out. One row back:
-- how many, and in how many seconds the next one is due (NULL: none waits).
WITH due AS (
    SELECT id FROM lmx.tasks
    WHERE run_at <= clock_timestamp() AND state IN ('scheduled', 'parked')
    ORDER BY run_at LIMIT 1000
    FOR NO KEY UPDATE SKIP LOCKED
), woken AS (
    UPDATE lmx.tasks t
    SET state = 'ready', run_at = NULL, waiting = 0, waiting_for = NULL,
        rank = CASE WHEN t.state = 'parked'
                    THEN (SELECT q.vtime FROM lmx.queues q WHERE q.name = t.queue)
                    ELSE t.rank END
    FROM due WHERE t.id = due.id
    RETURNING t.queue
), told AS (
    SELECT pg_notify('lmx:' || queue, '') FROM (SELECT DISTINCT queue FROM woken) w
)
SELECT (SELECT count(*) FROM woken) AS woken,
       (SELECT extract(epoch FROM min(run_at) - clock_timestamp())::float8 FROM lmx.tasks
        WHERE run_at > clock_timestamp() AND state IN ('scheduled', 'parked')) AS next_in,
       (SELECT count(*) FROM told) AS told
