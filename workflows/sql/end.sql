-- End unfinished tasks whoever holds them: the `tops` as they say, all others as cancelled. Their
-- leases are void at once; parents outside of `ids` whose wait is over are woken. What had come of an
-- answer stays with the error. The rows and the tops' parents must be locked before this statement.
-- Rows back: what was ended.
WITH given AS (
    SELECT t.id, t.worker_id IS NOT NULL AS leased, d.state, d.error, coalesce(d.tried, 0) AS tried
    FROM lmx.tasks t
    LEFT JOIN jsonb_to_recordset(%(tops)s::jsonb)
              AS d(id bigint, state lmx.task_state, error jsonb, tried int) ON d.id = t.id
    WHERE t.id = ANY(%(ids)s::bigint[]) AND t.finished_at IS NULL
), ended AS (
    UPDATE lmx.tasks t
    SET state = coalesce(g.state, 'cancelled'), finished_at = clock_timestamp(), worker_id = NULL,
        lease_seq = t.lease_seq + 1, run_at = NULL, waiting = 0, waiting_for = NULL,
        attempts = t.attempts + g.tried, progress = t.progress - 'partial answer',
        error = coalesce(g.error, %(error)s::jsonb) || jsonb_strip_nulls(jsonb_build_object(
            'partial answer', coalesce(t.progress -> 'partial answer', t.error -> 'partial answer')))
    FROM given g WHERE t.id = g.id
    RETURNING t.id, t.parent_id, t.budgeted, g.leased
), woken AS (
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
      AND p.id <> ALL(%(ids)s::bigint[])
    RETURNING p.state, p.queue
), told AS (
    SELECT pg_notify('lmx:' || queue, '')
    FROM (SELECT DISTINCT queue FROM woken WHERE state = 'ready') w
)
SELECT id, parent_id, budgeted, leased, (SELECT count(*) FROM told) AS told,
       pg_notify('lmx:done', '')
FROM ended
