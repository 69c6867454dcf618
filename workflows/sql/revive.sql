-- Put failed and cancelled tasks back into their queues, with all of their attempts and as much
-- time as they were given at first. A route that may move its call looks at it again at once. Rows
-- back: their ids.
WITH back AS (
    UPDATE lmx.tasks t
    SET state = 'ready', finished_at = NULL, attempts = 0, deliveries = 0, run_at = NULL,
        waiting = 0, waiting_for = NULL, output = NULL, error = NULL, progress = NULL,
        deadline = clock_timestamp() + (t.deadline - t.created_at),
        rank = (SELECT q.vtime FROM lmx.queues q WHERE q.name = t.queue)
               - t.priority * 1000.0
    WHERE t.id = ANY(%(ids)s::bigint[]) AND t.state IN ('failed', 'cancelled')
    RETURNING t.id, t.queue
), told AS (
    SELECT pg_notify('lmx:' || queue, '') FROM (SELECT DISTINCT queue FROM back) q
), looked AS (
    UPDATE lmx.decisions d SET again_at = clock_timestamp() FROM back
    WHERE d.task_id = back.id AND (d.terms ->> 'divert')::boolean
      AND NOT EXISTS (SELECT FROM lmx.decisions l WHERE l.task_id = d.task_id AND l.id > d.id)
)
SELECT id, (SELECT count(*) FROM told) AS told FROM back ORDER BY id
