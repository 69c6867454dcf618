-- Wake the parents (`parent_id`) of the tasks in `ended` whose wait is over, and tell their queues.
-- Their rows must be locked before the statement.
, woken AS (
    UPDATE lmx.tasks p
    SET waiting = greatest(p.waiting - e.n, 0),
        state = CASE WHEN p.waiting <= e.n THEN 'ready' ELSE 'parked' END::lmx.task_state,
        run_at = CASE WHEN p.waiting <= e.n THEN NULL ELSE p.run_at END,
        waiting_for = CASE WHEN p.waiting <= e.n THEN NULL ELSE p.waiting_for END,
        rank = CASE WHEN p.waiting <= e.n
                    THEN (SELECT q.vtime FROM lmx.queues q WHERE q.name = p.queue) ELSE p.rank END
    FROM (SELECT parent_id, count(*)::int AS n FROM ended WHERE parent_id IS NOT NULL
          GROUP BY parent_id) e
    WHERE p.id = e.parent_id AND p.state = 'parked' AND p.waiting > 0
    RETURNING p.state, p.queue
), told AS (
    SELECT pg_notify('lmx:' || queue, '')
    FROM (SELECT DISTINCT queue FROM woken WHERE state = 'ready') w
)
