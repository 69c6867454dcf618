-- Park leased coordinators until enough children have finished, a time has come or a signal is
-- there; one whose wait is over already keeps its lease. The rows must be locked before this
-- statement, so that no child finishes between the count and the park. The count is materialised,
-- or it would be made once for each place that names it. Rows back: op, parked.
WITH given AS MATERIALIZED (
    SELECT d.*, t.id AS task,
           (SELECT count(*) FROM lmx.tasks c
            WHERE d.children AND c.parent_id = d.id AND c.finished_at IS NULL
              AND (d.keys IS NULL OR c.key IN (SELECT jsonb_array_elements_text(d.keys))))
               AS open
    FROM jsonb_to_recordset(%(ops)s::jsonb)
         AS d(op int, id bigint, seq int, children boolean, keys jsonb, need int, wake_at float8,
              signal text, signal_seq int)
    JOIN lmx.tasks t ON t.id = d.id AND t.lease_seq = d.seq AND t.worker_id IS NOT NULL
), judged AS (
    SELECT g.*,
           CASE WHEN NOT g.children THEN 0
                WHEN g.need IS NULL THEN g.open
                ELSE least(g.open, g.need) END AS waits,
           (coalesce(g.children, false) AND g.open = 0)
           OR (g.wake_at IS NOT NULL AND to_timestamp(g.wake_at) <= clock_timestamp())
           OR (g.signal IS NOT NULL AND EXISTS (
                   SELECT FROM lmx.signals s WHERE s.task_id = g.id AND s.name = g.signal
                      AND s.seq = g.signal_seq)) AS over
    FROM given g
), parked AS (
    UPDATE lmx.tasks t
    SET state = 'parked', worker_id = NULL, deliveries = 0, waiting = j.waits,
        run_at = to_timestamp(j.wake_at), waiting_for = j.signal
    FROM judged j WHERE t.id = j.id AND NOT j.over
    RETURNING t.id,
        CASE WHEN t.run_at IS NOT NULL THEN pg_notify('lmx:' || t.queue,
            greatest(extract(epoch FROM t.run_at - clock_timestamp()), 0)::text) END
)
SELECT j.op, NOT j.over AS parked FROM judged j LEFT JOIN parked p ON p.id = j.id
