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
), voided AS (
    UPDATE lmx.tasks t
    SET state = coalesce(g.state, 'cancelled'), finished_at = clock_timestamp(), worker_id = NULL,
        lease_seq = t.lease_seq + 1, run_at = NULL, waiting = 0, waiting_for = NULL,
        attempts = t.attempts + g.tried, progress = t.progress - 'partial answer',
        error = coalesce(g.error, %(error)s::jsonb) || jsonb_strip_nulls(jsonb_build_object(
            'partial answer', coalesce(t.progress -> 'partial answer', t.error -> 'partial answer')))
    FROM given g WHERE t.id = g.id
    RETURNING t.id, t.parent_id, t.budgeted, g.leased
), ended AS (
    SELECT parent_id FROM voided WHERE parent_id <> ALL(%(ids)s::bigint[])
)
-- :include wake_parents
SELECT id, parent_id, budgeted, leased, (SELECT count(*) FROM told) AS told,
       pg_notify('lmx:done', '')
FROM voided
