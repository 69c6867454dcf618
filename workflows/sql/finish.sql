-- Finish leased tasks, fenced by their lease, and wake the parents whose wait is over. What had come
-- of an answer stays with the error, unless there is a whole one now. The parents' rows must be
-- locked before this statement. Rows back: the ops that were accepted.
WITH ended AS (
    UPDATE lmx.tasks t
    SET state = d.state, finished_at = clock_timestamp(), worker_id = NULL, output = d.output,
        error = coalesce(
            d.error || jsonb_strip_nulls(
                jsonb_build_object('partial answer', t.error -> 'partial answer')),
            CASE d.state WHEN 'succeeded' THEN nullif(t.error - 'partial answer', '{}')
                         ELSE t.error END),
        progress = CASE d.state WHEN 'succeeded' THEN t.progress - 'partial answer'
                                ELSE t.progress END,
        usage = coalesce(d.usage, t.usage), run_at = NULL,
        attempts = t.attempts + CASE WHEN d.state = 'failed' THEN 1 ELSE 0 END,
        message = CASE d.state WHEN 'succeeded' THEN NULL ELSE t.message END
    FROM jsonb_to_recordset(%(ops)s::jsonb)
         AS d(op int, id bigint, seq int, state lmx.task_state, output jsonb, error jsonb,
              usage jsonb)
    WHERE t.id = d.id AND t.lease_seq = d.seq AND t.worker_id IS NOT NULL
    RETURNING d.op, t.parent_id
)
-- :include wake_parents
SELECT op, (SELECT count(*) FROM told) AS told, pg_notify('lmx:done', '') FROM ended
