-- Leave a signal for a coordinator and wake it if it waits for one of that name. The row must be
-- locked before this statement, so that signals of a name are numbered without gaps. Row back:
-- the signal's number.
WITH sent AS (
    INSERT INTO lmx.signals (task_id, name, seq, payload)
    SELECT %(id)s::bigint, %(name)s::text, coalesce(max(seq), 0) + 1, %(payload)s::jsonb
    FROM lmx.signals WHERE task_id = %(id)s::bigint AND name = %(name)s::text
    RETURNING seq
), woken AS (
    UPDATE lmx.tasks t
    SET state = 'ready', run_at = NULL, waiting = 0, waiting_for = NULL,
        rank = (SELECT q.vtime FROM lmx.queues q WHERE q.name = t.queue)
    WHERE t.id = %(id)s::bigint AND t.state = 'parked' AND t.waiting_for = %(name)s::text
    RETURNING pg_notify('lmx:' || t.queue, '')
)
SELECT seq, (SELECT count(*) FROM woken) AS woken FROM sent
